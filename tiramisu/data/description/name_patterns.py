"""Which mask belongs to which image, by the names of the files: as the glob patterns of a split."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiramisu.data.spec_parts import FileSplit

_MARKS = "_-. "  # between words in a name
_MASK_WORDS = (
    *("mask", "masks", "Mask", "label", "labels", "Label", "gt", "GT", "seg", "segmentation"),
    *("annotation", "annot", "groundtruth", "ground_truth"),
)
_IMAGE_SUFFIXES = tuple(mark + word for word in ("image", "img", "sat", "rgb") for mark in _MARKS)
_IMAGE_PREFIXES = tuple(word + mark for word in ("image", "img") for mark in _MARKS)
_SAFE = re.compile(r"[\w .()+-]*")  # a pattern may hold it as it is
_LOSSY = {".jpg", ".jpeg", ".jpe"}
_JOINTS = re.compile(r"(?<=[^\W_])(?=[\W_])|(?<=[\W_])(?=[^\W_])|(?<=\D)(?=\d)|(?<=\d)(?=\D)")


@dataclass(frozen=True, kw_only=True)
class Affix:
    """What the names of some files have in front of their key and behind it."""

    prefix: str = ""
    suffix: str = ""

    def strip(self, stem: str) -> str | None:
        """The key in the name of a file, without its ending; None if it has none."""
        fits = stem.startswith(self.prefix) and stem.endswith(self.suffix)
        if not fits or len(stem) <= len(self.prefix) + len(self.suffix):
            return None
        return stem[len(self.prefix) : len(stem) - len(self.suffix)]

    def keys(self, stems: Iterable[str]) -> set[str]:
        return {key for stem in stems if (key := self.strip(stem)) is not None}

    @property
    def length(self) -> int:
        return len(self.prefix) + len(self.suffix)


def match_folders(
    image_folder: str, images: Sequence[str], mask_folder: str, masks: Sequence[str]
) -> FileSplit | None:
    """The patterns of images and masks in two folders; None if no name fits another.

    The names are equal, or the masks (or the images as well) have the same words in front of their
    key or behind it: `a.jpg` and `a_mask.png`, `img_1.png` and `label_1.png`.

    Args:
        image_folder: the folder of the images, relative to the root.
        images: the names of its files.
        mask_folder: the folder of the masks.
        masks: the names of its files.
    """
    image_stems, mask_stems = _stems(images), _stems(masks)
    ways = [(affix, affix.keys(image_stems)) for affix in _image_affixes(image_stems)]
    ways = [way for way in ways if way[1]]
    best: tuple[int, bool, int] | None = None
    chosen = Affix(), Affix()
    for mask_affix in _mask_affixes(mask_stems):
        keys = mask_affix.keys(mask_stems)
        if best is not None and not best[1] and -best[0] == min(len(mask_stems), len(image_stems)):
            break  # all are paired that can be
        for image_affix, image_keys in ways:
            paired = keys & image_keys
            length = mask_affix.length + image_affix.length
            # A single pair of which both names are cut may be chance, such as cat_1 and dog_1.
            if len(paired) < (2 if image_affix.length and mask_affix.length else 1):
                continue
            key = min(paired)
            score = (-len(paired), key[0] in _MARKS or key[-1] in _MARKS, length)
            if best is None or score < best:
                best, chosen = score, (image_affix, mask_affix)
    if best is None:
        return None
    return FileSplit(
        images=(_pattern(image_folder, chosen[0], images),),
        masks=(_pattern(mask_folder, chosen[1], masks),),
    )


def match_one_folder(folder: str, names: Sequence[str]) -> FileSplit | None:
    """The patterns of images and masks side by side in one folder; None if there are none.

    The masks are named like `a_mask.png`, or have another ending than their images, which are
    JPEG or TIFF: `a.jpg` and `a.png`.
    """
    for affix in _marked():
        masks = [n for n in names if affix.strip(_stem(n)) is not None]
        images = [n for n in names if affix.strip(_stem(n)) is None]
        found = match_folders(folder, images, folder, masks) if masks and images else None
        if found and found.masks == (_pattern(folder, affix, masks),):
            return found
    for endings in (_LOSSY, {".tif", ".tiff"}):
        images = [n for n in names if _ending(n).lower() in endings]
        masks = [n for n in names if _ending(n).lower() not in _LOSSY | endings]
        if set(_stems(images)) & set(_stems(masks)):
            return FileSplit(
                images=(_pattern(folder, Affix(), images),),
                masks=(_pattern(folder, Affix(), masks),),
            )
    return None


def _pattern(folder: str, affix: Affix, names: Sequence[str]) -> str:
    """The pattern of all files whose ending some file with the affix has."""
    fitting = [name for name in names if affix.strip(_stem(name)) is not None]
    # Patterns take endings in capital and in small letters alike.
    endings = sorted(
        {ending.lower(): ending for n in fitting if (ending := _ending(n)[1:])}.values()
    )
    ending = endings[0] if len(endings) == 1 else "{" + ",".join(endings) + "}"
    home = "" if folder == "." else f"{folder}/"
    return f"{home}{affix.prefix}*{affix.suffix}.{ending}"


def _mask_affixes(stems: Sequence[str]) -> Iterator[Affix]:
    yield Affix()
    yield from _marked()
    yield Affix(suffix="_L")  # of CamVid
    yield from _common(stems)


def _marked() -> Iterator[Affix]:
    """What marks a mask beyond doubt."""
    yield from (Affix(suffix=mark + word) for word in _MASK_WORDS for mark in _MARKS)
    yield from (Affix(prefix=word + mark) for word in _MASK_WORDS for mark in _MARKS)


def _image_affixes(stems: Sequence[str]) -> Iterator[Affix]:
    yield Affix()
    yield from (Affix(suffix=suffix) for suffix in _IMAGE_SUFFIXES)
    yield from (Affix(prefix=prefix) for prefix in _IMAGE_PREFIXES)
    yield from _common(stems)


def _common(stems: Sequence[str]) -> Iterator[Affix]:
    """What all names begin and end with, also cut at the joints between words and numbers."""
    first = stems[0] if stems else ""
    joints = {joint.start() for joint in _JOINTS.finditer(first)}
    starts, ends = (first[:joint] for joint in joints), (first[joint:] for joint in joints)
    prefixes = [start for start in starts if all(stem.startswith(start) for stem in stems)]
    suffixes = [end for end in ends if all(stem.endswith(end) for stem in stems)]
    for start in sorted(["", *prefixes], key=len)[:8]:
        for end in sorted(["", *suffixes], key=len)[:8]:
            if _SAFE.fullmatch(start) and _SAFE.fullmatch(end):
                yield Affix(prefix=start, suffix=end)


def _stems(names: Iterable[str]) -> list[str]:
    return [_stem(name) for name in names]


def _stem(name: str) -> str:
    return Path(name).stem


def _ending(name: str) -> str:
    return Path(name).suffix
