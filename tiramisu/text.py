"""Words and tables that many messages share. No torch in this file."""

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: "; did you mean NAME?", or nothing."""
    names = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(given.casefold(), list(names), n=1, cutoff=0.7)
    return f"; did you mean {names[close[0]]}?" if close else ""


def path_text(path: str | Path) -> str:
    """A path as text that every file can hold: bytes in it that are not UTF-8 become escapes."""
    # Python keeps such bytes as surrogates, also those of UTF-8 where the system expects ASCII.
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def show_path(path: str | Path) -> str:
    """A path for messages: as `path_text`, on one line."""
    return escape_controls(path_text(path))


def escape_controls(text: str) -> str:
    """The text with escapes in place of line breaks and other control characters."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def show(value: object, *, most: int = 80) -> str:
    """A value as it is written in Python, on one line and cut after `most` letters."""
    try:
        written = " ".join(repr(value).split())
    except (ValueError, RecursionError):
        return "a value too long or too deep to show"
    return written if len(written) <= most else f"{written[:most]} ..."


def in_one_line(text: object, *, most: int = 160) -> str:
    """A text of others, such as a library's error, on one line and cut after `most` letters."""
    line = " ".join(str(text).split()) or type(text).__name__
    return line if len(line) <= most else f"{line[:most]} ..."


def list_some(names: Sequence[object], *, most: int) -> str:
    """Names separated by commas; after the first `most` of them "and N more"."""
    shown = ", ".join(str(name) for name in names[:most])
    left_out = len(names) - most
    return f"{shown} and {left_out} more" if left_out > 0 else shown


def in_percent(share: float) -> str:
    """A share, 0..1, in percent with one digit after the point; a line where there is none."""
    return "-" if math.isnan(share) else f"{100 * share:.1f}"


def format_table(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Rows of cells as a plain table, columns two spaces apart.

    Args:
        rows: cells of each row, the heading first; all rows have the same number of cells.
        left: number of columns, from the first, that are aligned to the left; the others are
            aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
