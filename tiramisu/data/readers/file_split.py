"""Find the images and masks of a split by its glob patterns."""

import fnmatch
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tiramisu.data.annotations.mask_drawing import MaskDrawing
from tiramisu.data.readers.parts import choose_part, choose_samples
from tiramisu.data.readers.sample_list import SampleList
from tiramisu.data.spec_parts import WILDCARD, FileSplit, capture_wildcards, expand_braces
from tiramisu.text import show_path


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
    """Lines of the split's list file that name no image, or images of annotations that are not
    there."""
    unpaired_keys: tuple[str, ...]
    """Keys of the images and masks without a partner, and of images that are not there."""
    example_key: str
    """What the key of an image looks like; empty if the patterns find no image."""
    annotated_in: str | None = None
    """The file or folder of the annotations in place of masks."""

    @property
    def unpaired(self) -> dict[str, tuple[Path, ...] | tuple[str, ...]]:
        """Files and keys without a partner, by a description of the problem."""
        keys = f", where the key of an image looks like {show_path(self.example_key)}"
        keys = keys if self.example_key else ""
        unknown = f"lines of the list that name no image{keys}"
        if self.annotated_in is not None:
            unknown = f"images that {show_path(self.annotated_in)} names, but that are not there"
        return {
            "images without a mask": self.images_without_mask,
            "masks without an image": self.masks_without_image,
            unknown: self.keys_without_image,
        }


def find_files(split: FileSplit, root: Path) -> SplitFiles:
    """Pair the images of a split with their masks.

    Raises:
        ValueError, FileNotFoundError: the split's list file cannot be read, or two files have the
            same key.
    """
    found = [
        _find_pattern(root, *patterns) for patterns in zip(split.images, split.masks, strict=True)
    ]
    keys = {key for images, masks in found for key in (*images, *masks)}
    if split.keys:
        keys = {key for key in keys if any(fnmatch.fnmatchcase(key, glob) for glob in split.keys)}
    example = min((key for images, _ in found for key in images), default="")
    unknown: list[str] = []
    if split.list_file:
        every_image = {key: path for images, _ in found for key, path in images.items()}
        every_mask = {key: path for _, masks in found for key, path in masks.items()}
        listed = SampleList(root / split.list_file, every_image, every_mask, root=root)
        keys &= listed.keys
        unknown = listed.unknown
    if split.part:
        keys = choose_part(keys, split.part)

    pairs: list[Pair] = []
    unpaired_images: list[Path] = []
    unpaired_masks: list[Path] = []
    for images, masks in found:
        both = images.keys() & masks.keys()
        pairs += [Pair(key=key, image=images[key], mask=masks[key]) for key in both & keys]
    if len({pair.key for pair in pairs}) < len(pairs):  # two patterns match the same file name
        paths = (pair.image.relative_to(root).with_suffix("") for pair in pairs)
        pairs = [replace(p, key=path.as_posix()) for p, path in zip(pairs, paths, strict=True)]
    unpaired = keys & {key for images, masks in found for key in images.keys() ^ masks.keys()}
    if split.samples is not None:
        chosen = choose_samples({pair.key for pair in pairs} | unpaired, split.samples)
        pairs = [pair for pair in pairs if pair.key in chosen]
        unpaired &= chosen
    for images, masks in found:
        unpaired_images += [images[key] for key in images.keys() - masks.keys() if key in unpaired]
        unpaired_masks += [masks[key] for key in masks.keys() - images.keys() if key in unpaired]
    return SplitFiles(
        pairs=tuple(sorted(pairs, key=lambda pair: pair.key)),
        images_without_mask=tuple(sorted(unpaired_images)),
        masks_without_image=tuple(sorted(unpaired_masks)),
        keys_without_image=tuple(sorted(unknown)),
        unpaired_keys=tuple(sorted(unpaired)),
        example_key=example,
    )


def _find_pattern(
    root: Path, image_pattern: str, mask_pattern: str
) -> tuple[dict[str, Path], dict[str, Path]]:
    """The images and the masks of two patterns that belong together, by key."""
    masks = _glob(root, mask_pattern)
    if image_pattern == mask_pattern:
        return dict(masks), masks
    return _glob(root, image_pattern, without=set(masks.values())), masks


def explain_empty(split: FileSplit, root: Path) -> str:
    """Which patterns find no image, and what lies in their folders instead, for messages."""
    found = []
    for pattern in split.images:
        folder = next(expand_braces(pattern)).rpartition("/")[0]
        if WILDCARD.search(folder):
            continue
        if not (root / folder).is_dir():
            found.append(f"there is no folder {folder}")
            continue
        names = [path.name for path in (root / folder).iterdir() if path.is_file()]
        shown = f"holds {count_endings(names)}" if names else "holds no file"
        found.append(f"{folder or 'the folder'} {shown}")
    where = f" ({'; '.join(found)})" if found else ""
    return f"no file matches {' or '.join(split.images)}{where}"


def count_endings(names: Iterable[str]) -> str:
    """`.png 4, .JPG 1`: the endings of files with their number, the most frequent one first."""
    counts = Counter(Path(name).suffix or "no ending" for name in names)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{ending} {count}" for ending, count in ordered)


def _glob(root: Path, pattern: str, *, without: Collection[Path] = ()) -> dict[str, Path]:
    """Files under root that match the pattern, by key."""
    found: dict[str, Path] = {}
    for glob in expand_braces(pattern):
        # Cameras and Windows write .JPG and .TIF.
        head, dot, ending = glob.rpartition(".")
        letters = "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in ending)
        has_ending = dot and ending.isascii() and ending.isalnum()
        search = f"{head}.{letters}" if has_ending else glob
        regex = capture_wildcards(head if has_ending else glob).pattern
        compiled = re.compile(regex + (rf"\.(?i:{ending})" if has_ending else ""))
        for path in root.glob(search):
            match = compiled.fullmatch(path.relative_to(root).as_posix())
            # Files with a leading dot (._0001.png) are made by operating systems.
            if match and not path.name.startswith(".") and path not in without:
                other = found.setdefault("/".join(match.groups()), path)
                if other != path:
                    raise ValueError(f"{other} and {path} have the same key; remove one")
    return found
