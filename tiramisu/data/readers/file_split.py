"""Find the images and masks of a split by its glob patterns."""

import fnmatch
from dataclasses import dataclass, replace
from pathlib import Path

from tiramisu.data.annotations.mask_drawing import MaskDrawing
from tiramisu.data.plain_file import read_text
from tiramisu.data.spec_parts import FileSplit, capture_wildcards, expand_braces


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One image and its mask. The key names the sample within its split."""

    key: str
    image: Path
    mask: Path
    """The mask, or the file of the annotations from which it is drawn."""
    drawing: MaskDrawing | None = None
    """What draws it; None if it is a file."""


@dataclass(frozen=True, kw_only=True)
class SplitFiles:
    """The files that the patterns of a split match under a root, sorted."""

    pairs: tuple[Pair, ...]
    images_without_mask: tuple[Path, ...]
    masks_without_image: tuple[Path, ...]
    keys_without_image: tuple[str, ...]
    """Keys of the split's list file without an image."""

    @property
    def unpaired(self) -> dict[str, tuple[Path, ...] | tuple[str, ...]]:
        """Files and keys without a partner, by a description of the problem."""
        return {
            "images without a mask": self.images_without_mask,
            "masks without an image": self.masks_without_image,
            "listed samples without an image": self.keys_without_image,
        }


def find_files(split: FileSplit, root: Path) -> SplitFiles:
    """Pair the images of a split with their masks.

    Raises:
        ValueError, FileNotFoundError: the split's list file cannot be read, or two files have the
            same key.
    """
    listed = _read_list(root / split.list_file) if split.list_file else None

    def wanted(key: str) -> bool:
        by_glob = any(fnmatch.fnmatchcase(key, glob) for glob in split.keys)
        return (listed is None or key in listed) and (by_glob or not split.keys)

    pairs: list[Pair] = []
    unpaired_images: list[Path] = []
    unpaired_masks: list[Path] = []
    seen: set[str] = set()
    for image_pattern, mask_pattern in zip(split.images, split.masks, strict=True):
        images = {key: path for key, path in _glob(root, image_pattern).items() if wanted(key)}
        masks = {key: path for key, path in _glob(root, mask_pattern).items() if wanted(key)}
        both = images.keys() & masks.keys()
        pairs += [Pair(key=key, image=images[key], mask=masks[key]) for key in both]
        unpaired_images += [path for key, path in images.items() if key not in both]
        unpaired_masks += [path for key, path in masks.items() if key not in both]
        seen |= images.keys()
    if len({pair.key for pair in pairs}) < len(pairs):  # two patterns match the same file name
        paths = (pair.image.relative_to(root).with_suffix("") for pair in pairs)
        pairs = [replace(p, key=path.as_posix()) for p, path in zip(pairs, paths, strict=True)]
    return SplitFiles(
        pairs=tuple(sorted(pairs, key=lambda pair: pair.key)),
        images_without_mask=tuple(sorted(unpaired_images)),
        masks_without_image=tuple(sorted(unpaired_masks)),
        keys_without_image=tuple(sorted((listed or set()) - seen)),
    )


def _glob(root: Path, pattern: str) -> dict[str, Path]:
    """Files under root that match the pattern, by key."""
    found: dict[str, Path] = {}
    for glob in expand_braces(pattern):
        regex = capture_wildcards(glob)
        for path in root.glob(glob):
            match = regex.fullmatch(path.relative_to(root).as_posix())
            # Files with a leading dot (._0001.png) are made by operating systems.
            if match and not path.name.startswith("."):
                other = found.setdefault("/".join(match.groups()), path)
                if other != path:
                    raise ValueError(f"{other} and {path} have the same key; remove one")
    return found


def _read_list(path: Path) -> set[str]:
    lines = read_text(path, kind="list of samples").splitlines()
    # VOC's lists of single classes have a second column; the key is the first.
    return {line.split()[0] for line in lines if line.strip()}
