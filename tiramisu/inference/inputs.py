"""The files to predict, found from files, folders and patterns."""

import dataclasses
import glob
import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tiramisu.text import list_some

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"}
SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES

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


def find_inputs(sources: Sequence[str | Path]) -> list[Input]:
    """Find images and videos.

    Args:
        sources: files, folders (without their sub-folders) and patterns such as `frames/*.png`,
            where `**` matches folders at any depth. Folders and patterns are sorted; files in them
            that are neither images nor videos are skipped with a warning.

    Raises:
        FileNotFoundError: a source does not exist or its pattern matches nothing.
        ValueError: a single file is neither an image nor a video, or nothing is left.
    """
    found: dict[Path, Path] = {}
    for source in sources:
        for path in _expand(source):
            found.setdefault(path.resolve(), path)
    paths = list(found.values())
    if not paths:
        raise ValueError(
            f"no images or videos in {', '.join(map(str, sources)) or 'an empty list'}; expected "
            f"files that end in {' '.join(sorted(SUFFIXES))}"
        )
    names = _distinct_names(paths)
    return [Input(path=path, name=name) for path, name in zip(paths, names, strict=True)]


def _expand(source: str | Path) -> list[Path]:
    path = Path(source)
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(
                f"{path} is no image or video by its ending; expected one of "
                f"{' '.join(sorted(SUFFIXES))}"
            )
        return [path]
    if path.is_dir():
        entries = sorted(path.iterdir())
    else:
        entries = sorted(map(Path, glob.glob(str(source), recursive=True)))
        if not entries:
            raise FileNotFoundError(f"there is no {source}; give images, videos or folders of them")
    kept = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in SUFFIXES]
    skipped = [str(entry) for entry in entries if entry not in set(kept)]
    if skipped:
        deeper = any(map(os.path.isdir, skipped))
        hint = f"; '{source}/**/*' includes sub-folders" if path.is_dir() and deeper else ""
        names = list_some(skipped, most=3)
        log.warning("skipped in %s, no image or video: %s%s", source, names, hint)
    return kept


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    """A name for each path: its stem, made longer where two would be the same."""
    levels = [0] * len(paths)
    while True:
        names = [_name(path, i + 1, levels[i]) for i, path in enumerate(paths)]
        # On some file systems a.png and A.PNG are the same file.
        counts = Counter(map(str.casefold, names))
        clashes = [i for i, name in enumerate(names) if counts[name.casefold()] > 1]
        if not clashes:
            return names
        for i in clashes:
            levels[i] += 1


def _name(path: Path, number: int, level: int) -> str:
    """The stem; from level 1 on with its folder, from 2 with its suffix, from 3 with its number."""
    folder, suffix = path.resolve().parent.name, path.suffix.lstrip(".")
    names = [path.stem, f"{folder}_{path.stem}", f"{folder}_{path.stem}_{suffix}"]
    return names[level] if level < len(names) else f"{names[-1]}" + f"_{number}" * (level - 2)
