"""The files to predict, found from files, folders and patterns."""

import dataclasses
import glob
import logging
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tiramisu.data.readers.image_file import IMAGE_SUFFIXES
from tiramisu.data.readers.size_limit import most_megapixels
from tiramisu.devices import is_out_of_memory
from tiramisu.text import list_some, show_path

VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"}
SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES

_LONGEST_NAME = 180  # bytes; file systems take 255, with the endings of the results
_SURROGATES = re.compile("[\ud800-\udfff]")  # what Python makes of bytes that are not UTF-8

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Input:
    """A file to predict."""

    path: Path
    """An image or a video."""
    name: str
    """Beginning of the names of its results; different for every input."""

    @property
    def is_video(self) -> bool:
        return self.path.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(
    sources: Sequence[str | Path], *, recursive: bool = False, without: Path | None = None
) -> list[Input]:
    """Find images and videos.

    Args:
        sources: files, folders (without their sub-folders) and patterns such as `frames/*.png`,
            where `**` matches folders at any depth, but not through links. Folders and patterns
            are sorted; files in them that by their ending are neither images nor videos are
            skipped with a warning.
        recursive: whether folders are taken with those within them, but for hidden ones and links;
            the names of inputs then begin with their folders, separated by slashes.
        without: a folder within others that is left out, such as that of the results.

    Raises:
        FileNotFoundError: a source does not exist or its pattern matches nothing.
        ValueError: a single file is neither an image nor a video, or nothing is left.
    """
    most_megapixels()  # a wrong limit is one error, and not one for each file
    found: dict[str, Path] = {}
    inside: dict[Path, str] = {}
    for source in sources:
        is_tree = recursive and Path(source).is_dir()
        for path in _walk(Path(source), without) if is_tree else _expand(source):
            if found.setdefault(os.path.realpath(path), path) is path and is_tree:
                inside[path] = path.parent.relative_to(source).as_posix()
    paths = list(found.values())
    if not paths:
        raise ValueError(
            f"no images or videos in {', '.join(map(show_path, sources)) or 'an empty list'}; "
            f"expected files that end in {' '.join(sorted(SUFFIXES))}"
        )
    names = _distinct_names(paths, [inside.get(path, ".") for path in paths])
    return [Input(path=path, name=name) for path, name in zip(paths, names, strict=True)]


def describe_failure(place: str | Path, error: Exception, *, smaller: str) -> str:
    """What an error says about an input, with the name of its file.

    Args:
        place: path or URL of the input.
        error: what happened; an error that is no fault of the file is raised again.
        smaller: the flag that saves memory.
    """
    name, problem = show_path(place), str(error)
    if is_out_of_memory(error):
        return f"{name}: out of memory; give a smaller {smaller}"
    if not isinstance(error, ValueError | FileNotFoundError):
        raise error
    return problem if name in problem else f"{name}: {problem}"


def raise_failures(failures: Sequence[str], *, total: int) -> None:
    """Raise ValueError at the end of the work if some of the `total` inputs failed."""
    if failures:
        raise ValueError(
            f"{len(failures)} of {total} files failed"
            + (", the others are done" if len(failures) < total else "")
            + f": {'; '.join(failures)}"
        )


def _expand(source: str | Path) -> list[Path]:
    if not str(source):
        raise ValueError("one of the inputs is empty (''); give images, videos or folders of them")
    path = Path(source)
    if not path.is_dir() and os.path.lexists(path):  # also a pipe or a link to nothing
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(
                f"{show_path(path)} is no image or video by its ending; expected one of "
                f"{' '.join(sorted(SUFFIXES))}"
            )
        return [path]
    if path.is_dir():
        entries = sorted(path.iterdir())
    else:
        entries = _match(path)
        if not entries:
            raise FileNotFoundError(
                f"there is no {show_path(path)}; give images, videos or folders of them"
            )
    # What only looks like an image, such as a link to nothing, is kept: it fails by its name.
    kept = [e for e in entries if e.suffix.lower() in SUFFIXES and not e.is_dir()]
    skipped = sorted(set(entries) - set(kept))
    if skipped:
        shown = show_path(source)
        deeper = any(map(os.path.isdir, skipped))
        hint = f"; '{shown}/**/*' includes sub-folders" if path.is_dir() and deeper else ""
        names = list_some([show_path(entry) for entry in skipped], most=3)
        log.warning("skipped in %s, no image or video: %s%s", shown, names, hint)
    return kept


def _walk(folder: Path, without: Path | None) -> Iterator[Path]:
    """The images and videos in a folder and in those within it, sorted."""
    for entry in sorted(folder.iterdir()):
        if not entry.is_dir():
            if entry.suffix.lower() in SUFFIXES and not entry.name.startswith("."):
                yield entry
        elif not (entry.is_symlink() or entry.name.startswith(".")) and not (
            without is not None and os.path.realpath(entry) == os.path.realpath(without)
        ):
            yield from _walk(entry, without)


def _match(pattern: Path) -> list[Path]:
    """The files and folders that a pattern matches, sorted; hidden ones only if it names a dot."""
    parts = pattern.parts
    if "**" not in parts:
        return sorted(map(Path, glob.glob(str(pattern))))
    # Here `glob` follows links, which may lead in circles. In pathlib ** follows none; it stands
    # alone between slashes, and at the end it matches only folders.
    first = next(i for i, part in enumerate(parts) if re.search(r"[*?[]", part))
    rest = [part if part == "**" else re.sub(r"\*+", "*", part) for part in parts[first:]]
    if rest[-1] == "**":
        rest.append("*")
    base = Path(*parts[:first])
    found = sorted(base.glob("/".join(rest)))
    if any(part.startswith(".") for part in rest):
        return found
    return [p for p in found if not any(n.startswith(".") for n in p.relative_to(base).parts)]


def _distinct_names(paths: Sequence[Path], folders: Sequence[str]) -> list[str]:
    """A name for each path: its stem, made longer where two would be the same.

    Args:
        paths: the files.
        folders: in which of the results each one's results are; "." for the folder itself.
    """
    levels = [0] * len(paths)
    while True:
        names = [
            posixpath.normpath(posixpath.join(folders[i], _name(path, i + 1, levels[i])))
            for i, path in enumerate(paths)
        ]
        # On some file systems a.png and A.PNG are the same file.
        counts = Counter(map(str.casefold, names))
        clashes = [i for i, name in enumerate(names) if counts[name.casefold()] > 1]
        if not clashes:
            return names
        for i in clashes:
            levels[i] += 1


def _name(path: Path, number: int, level: int) -> str:
    """The stem; from level 1 on with its folder, from 2 with its suffix, from 3 with its number.

    Bytes that are not UTF-8 are replaced, and very long names are cut: not every file system and
    library takes them, and the endings of the results come behind.
    """
    folder, suffix = Path(os.path.realpath(path)).parent.name, path.suffix.lstrip(".")
    names = [path.stem, f"{folder}_{path.stem}", f"{folder}_{path.stem}_{suffix}"]
    return cut_name(names[min(level, 2)]) + f"_{number}" * (level - 2)


def cut_name(name: str) -> str:
    """A name that every file system takes: cut where it is very long, and all of it UTF-8."""
    cut = _SURROGATES.sub("_", name).encode()[:_LONGEST_NAME]
    return cut.decode(errors="ignore")
