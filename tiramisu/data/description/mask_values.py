"""The values that masks hold, and what is wrong with those that are no classes."""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiramisu.data.description.layouts import show_template
from tiramisu.data.entry import name_of_folder
from tiramisu.data.labels import IGNORE_INDEX, MAX_CLASSES
from tiramisu.data.readers.mask_file import ColorMaskError, read_mask
from tiramisu.data.spec_parts import FileSplit
from tiramisu.text import list_some, show_path

SHOWN = 12  # colors or values in messages
_MOST_COLORS = 40  # of which a YAML is offered
_FEW_VALUES = 8  # as many are the values of classes
_INSIDE = 0.1  # a value with fewer of its pixels in the middle of three is a transition
_FIRST_MASKS = 8  # number of masks to look for smoothing in
_FIRST_COLOR_MASKS = 100
_SAVE_AGAIN = (
    "Save the masks again from where they come from, as PNG, and resize them without "
    "interpolation; or, if there are two classes, set what is below 128 to 0 and the rest to 255"
)


@dataclass(kw_only=True)
class MaskValues:
    """What the masks hold."""

    counts: Counter[int] = field(default_factory=Counter)
    """Pixels of each code."""
    color_masks: list[Path] = field(default_factory=list)
    error: Exception | None = None
    """Why the first mask that cannot be read cannot be read."""

    @property
    def labels(self) -> list[int]:
        """The codes that may be classes, sorted: all but 255, NaN and negative numbers."""
        return sorted(code for code in self.counts if code >= 0 and code != IGNORE_INDEX)

    @property
    def missing(self) -> list[int]:
        """Codes that can be no class: NaN, as NAN_CODE, and negative numbers."""
        return sorted(code for code in self.counts if code < 0)


def find_values(masks: Sequence[Path]) -> MaskValues:
    """The values of masks. Single masks that cannot be read are left to the check of all files."""
    found = MaskValues()
    with ThreadPoolExecutor() as pool:
        for mask, counts in zip(masks, pool.map(_count_values, masks), strict=True):
            if isinstance(counts, ColorMaskError):
                found.color_masks.append(mask)
            elif isinstance(counts, Exception):
                found.error = found.error or counts
            else:
                found.counts.update(counts)
    return found


def _count_values(mask: Path) -> dict[int, int] | Exception:
    try:
        values, counts = np.unique(read_mask(mask, "index"), return_counts=True)
    except (ValueError, OSError) as error:
        return error
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def explain_jpeg(folder: Path, values: MaskValues) -> str:
    """The error of JPEG masks whose values are not clean."""
    return (
        f"{folder}: the masks are JPEG, which changes the values of pixels: they hold "
        f"{len(values.counts)} values, {_show_most(values.counts)}. {_SAVE_AGAIN}"
    )


def explain_gap(folder: Path, values: MaskValues, masks: Sequence[Path]) -> str:
    """The error of masks whose values are not 0, 1, 2, ..., with the likely cause."""
    labels = values.labels
    if _look_smoothed(values, masks):
        return (
            f"{folder}: the masks look smoothed, as by resizing or JPEG: they hold "
            f"{len(values.counts)} values, {_show_most(values.counts)}, and the others lie only at "
            f"edges. {_SAVE_AGAIN}"
        )
    if len(labels) > MAX_CLASSES:
        return (
            f"{folder}: the masks hold {len(labels)} values, as photos do; expected {MAX_CLASSES} "
            "classes or fewer. Are these the masks? If they number objects, give each class one "
            "value"
        )
    return (
        f"{folder}: the masks hold the values {list_some(labels, most=SHOWN)}; expected 0, "
        "1, 2, ... without a gap (and 255, void). If the masks are right, write the names of "
        f"all classes into classes.txt, one per line, or a YAML with the value (`raw`) of each "
        f"class ({show_template()} is an example); if not, `tiramisu check` then lists the wrong "
        "values"
    )


def _look_smoothed(values: MaskValues, masks: Sequence[Path]) -> bool:
    """Whether most values of masks occur only as transitions: hardly ever in a row of three."""
    if len(values.counts) <= _FEW_VALUES:
        return False
    inside: Counter[int] = Counter()
    every: Counter[int] = Counter()
    for mask in masks[:_FIRST_MASKS]:
        with contextlib.suppress(ValueError, OSError):
            codes = read_mask(mask, "index")
            across = (codes[:, 1:-1] == codes[:, :-2]) & (codes[:, 1:-1] == codes[:, 2:])
            down = (codes[1:-1] == codes[:-2]) & (codes[1:-1] == codes[2:])
            _add(inside, codes[:, 1:-1][across])
            _add(inside, codes[1:-1][down])
            _add(every, codes)
    passing = {code: n for code, n in every.items() if inside[code] < _INSIDE * n}
    # In photos, nearly all pixels are of such values.
    return len(passing) > len(every) / 2 and sum(passing.values()) < sum(every.values()) / 2


def _add(counter: Counter[int], codes: npt.NDArray[Any]) -> None:
    values, counts = np.unique(codes, return_counts=True)
    counter.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def _show_most(counts: Counter[int]) -> str:
    total = sum(counts.values())
    shown = [f"{value} ({100 * n / total:.1f} %)" for value, n in counts.most_common(3)]
    return f"mostly {', '.join(shown)}"


def explain_colors(
    folder: Path, splits: Mapping[str, FileSplit], color_masks: list[Path], *, num_masks: int
) -> str:
    """The error of masks with colors; if these are few, with a YAML to begin with."""
    colors: set[int] = set()
    for mask in color_masks[:_FIRST_COLOR_MASKS]:
        with contextlib.suppress(ValueError, OSError):
            colors.update(np.unique(read_mask(mask, "rgb")).tolist())
    channels = [(code >> 16, code >> 8 & 255, code & 255) for code in sorted(colors)]
    shown = list_some([" ".join(map(str, color)) for color in channels], most=SHOWN)
    some = "" if len(color_masks) == num_masks else f" ({len(color_masks)} of {num_masks} masks)"
    message = (
        f"{show_path(color_masks[0])}: a color mask{some}, with the colors {shown}. A folder "
        "without a YAML file needs masks of class indices (0, 1, 2, ...; 255 void). Write a YAML "
        f"that gives the color of each class; {show_template()} is an example"
    )
    if len(channels) > _MOST_COLORS:
        return f"{message}. So many colors come from JPEG or smoothed masks, or from photos"
    classes = "\n".join(
        f"  - {{name: class_{i}, color: {list(c)}}}" for i, c in enumerate(channels)
    )
    parts = "\n".join(
        f'  {name}: {{images: "{split.images[0]}", masks: "{split.masks[0]}"}}'
        for name, split in splits.items()
    )
    name = name_of_folder(folder)
    return (
        f"{message}. This may be it, with your names in place of class_0, class_1, ...:\n"
        f'name: "{name}"\ntitle: "{name}"\nroot: "{show_path(folder.resolve())}"\nencoding: rgb\n'
        f"classes:\n{classes}\nsplits:\n{parts}"
    )
