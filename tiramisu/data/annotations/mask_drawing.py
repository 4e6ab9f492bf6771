"""From the regions of an image to the classes of its pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tiramisu.data.annotations.region import AnnotatedImage
from tiramisu.data.labels import IGNORE_INDEX
from tiramisu.data.readers.image_file import read_header
from tiramisu.text import did_you_mean, list_some, show_path

_VOID_LABELS = ("__ignore__", "ignore", "void")
_BACKGROUND_LABELS = ("_background_", "background")


def is_void(label: str) -> bool:
    """Whether a label means void, and no class."""
    return label.lower() in _VOID_LABELS


def is_background(label: str) -> bool:
    """Whether a label means what belongs to no other class."""
    return label.lower() in _BACKGROUND_LABELS


def number_labels(
    labels: Sequence[str], classes: Sequence[str], *, others_void: bool = False
) -> dict[str, int]:
    """The class index of each label, IGNORE_INDEX for those that are void.

    Args:
        labels: the labels of regions.
        classes: the names of the classes, in order.
        others_void: whether labels without a class are void.

    Raises:
        ValueError: a label has no class.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    for label in labels:
        if label in numbers:
            continue
        background = next((name for name in classes if is_background(name)), None)
        if is_background(label) and background is not None:
            numbers[label] = numbers[background]
        elif is_void(label) or others_void:
            numbers[label] = IGNORE_INDEX
        else:
            hint = did_you_mean(label, classes) or (
                f"; the classes are {list_some(classes, most=10)}. Add it to them, or in a YAML "
                "write `ignore: others`, which makes such labels void"
            )
            raise ValueError(f"the label {label} is no class{hint}")
    return numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskDrawing:
    """What draws the mask of one image from its regions."""

    image: Path
    annotated: AnnotatedImage
    codes: Mapping[str, int]
    """The class index of each label, IGNORE_INDEX for void."""
    outside: int
    """That of pixels outside of all regions."""

    def draw(self) -> npt.NDArray[np.uint8]:
        """Class indices uint8 (H, W); void is IGNORE_INDEX.

        Raises:
            OSError, ValueError: the image, whose size is needed, cannot be read.
        """
        size = self.annotated.size
        if size is None:
            header = read_header(self.image)
            size = header.height, header.width
        height, width = size
        canvas = Image.new("L", (width, height), self.outside)
        # Within a crowd, objects are outlined that stand out: they stay visible.
        for region in sorted(self.annotated.regions, key=lambda region: not region.is_crowd):
            code = IGNORE_INDEX if region.is_crowd else self.codes[region.label]
            try:
                region.shape.paint(canvas, code)
            except (ValueError, OverflowError) as error:
                file = show_path(self.annotated.origin)
                raise ValueError(
                    f"{file}: cannot draw a region of {region.label} ({error})"
                ) from error
        return np.array(canvas)  # which can be written to
