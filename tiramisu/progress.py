"""Progress of long work: a bar in a terminal and in a notebook, lines in a log file."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

from tqdm import tqdm

BAR = "{desc} {percentage:3.0f}% |{bar}| {elapsed} < {remaining}{postfix}"
"""How a bar looks."""
BAR_OF_ITEMS = BAR.replace("{postfix}", ", {n_fmt} of {total_fmt}{unit}, {rate_fmt}")
"""The same, where it counts things."""
SECONDS_PER_LINE = 60.0
"""Time between two lines in a log file."""

T = TypeVar("T")


def is_watched() -> bool:
    """Whether someone sees a bar move: in a terminal, or in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def has_width() -> bool:
    """Whether the terminal knows how wide it is; some, such as of containers, say 0 columns."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):
        return False


def bar_stream() -> TextIO:
    """Where a bar is drawn: in a notebook in the output, as its errors have a red background."""
    return sys.stdout if "ipykernel" in sys.modules else sys.stderr


def track(
    items: Iterable[T], *, doing: str, unit: str, total: int | None, done: int = 0
) -> Iterator[T]:
    """The items one after another, while the progress is shown with its rate and the time left.

    Args:
        items: the items.
        doing: what is done, such as "predicting".
        unit: what they are, such as "images".
        total: how many there are in all, with those that are done; None if that is not known.
        done: how many were done before.
    """
    if is_watched():
        yield from tqdm(
            items,
            desc=doing,
            unit=f" {unit}",
            total=total,
            initial=done,
            leave=False,
            disable=False,
            file=bar_stream(),
            ncols=None if has_width() else 80,
            bar_format=BAR_OF_ITEMS if total else None,
        )
        return
    start = last = time.monotonic()
    for number, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_PER_LINE:
            last = now
            rate = number / (now - start)
            line = f"{doing}: {done + number}{f' of {total}' if total else ''} {unit}, "
            line += f"{rate:.3g} {unit}/s"
            if total:
                line += f", {tqdm.format_interval((total - done - number) / rate)} left"
            print(line, file=sys.stderr, flush=True)
