"""The list of a split's samples: a text file with a line for each."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from tiramisu.data.plain_file import read_text
from tiramisu.data.readers.image_file import IMAGE_SUFFIXES

_GAP = re.compile(r"[\t,;]\s*|\s+")  # between two columns


class SampleList:
    """The samples that a list names.

    A line is a key, or the path of an image with or without its ending and the folders above it. It
    may have a second column (after a space, a tab or a comma): the mask, or -1, 0 or 1 as in the
    lists of PASCAL VOC.

    Args:
        path: the text file.
        images: the images by their keys.
        masks: the masks by their keys.
        root: the folder that the paths in the list are relative to.

    Raises:
        ValueError, FileNotFoundError: the list cannot be read, or names a mask that is not the one
            of its image.
    """

    def __init__(
        self, path: Path, images: Mapping[str, Path], masks: Mapping[str, Path], *, root: Path
    ) -> None:
        by_image, by_mask = _Names(images, root), _Names(masks, root)
        self.keys: set[str] = set()
        """The keys of the images that are listed."""
        self.unknown: list[str] = []
        """The lines that name no image."""
        for number, line in enumerate(read_text(path, kind="list of samples").splitlines(), 1):
            text = line.strip()
            if not text:
                continue
            if (key := by_image.find(text)) is not None:
                self.keys.add(key)
                continue
            first, key, rest = next(
                (
                    (text[: gap.start()], found, text[gap.end() :])
                    for gap in _GAP.finditer(text)
                    if (found := by_image.find(text[: gap.start()])) is not None
                ),
                ("", None, ""),
            )
            if key is None:
                self.unknown.append(text)
                continue
            self.keys.add(key)
            if Path(rest).suffix.lower() in IMAGE_SUFFIXES and by_mask.find(rest) != key:
                raise ValueError(
                    f"{path}, line {number}: {rest} is not the mask of {first}; that is the file "
                    "which the pattern `masks` gives"
                )


class _Names:
    """The key of each file by all its names: path or name, with and without its ending."""

    def __init__(self, files: Mapping[str, Path], root: Path) -> None:
        self._keys: dict[str, str | None] = {}
        for key, path in files.items():
            parts = path.relative_to(root).parts
            for i in range(len(parts)):
                name = PurePosixPath(*parts[i:])
                for form in {str(name), str(name.with_suffix(""))}:
                    # A name of two files is none.
                    other = self._keys.setdefault(form, key)
                    self._keys[form] = key if other == key else None
        self._keys.update({key: key for key in files})

    def find(self, text: str) -> str | None:
        """The key of a file; None if the text names none."""
        text = text.strip().strip("\"'").replace("\\", "/").removeprefix("./").lstrip("/")
        if text in self._keys:
            return self._keys[text]
        parts = PurePosixPath(text).parts
        # The path may start higher up; but train/7.png is another file than val/7.png.
        for i in range(1, len(parts) - 1):
            if found := self._keys.get("/".join(parts[i:])):
                return found
        return None
