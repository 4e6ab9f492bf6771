"""Overlays, legends and grids; every picture is an RGB array, uint8 (H, W, 3)."""

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from tiramisu.atomic import write_file
from tiramisu.data.labels import IGNORE_INDEX
from tiramisu.text import escape_controls

Picture = npt.NDArray[np.uint8]  # RGB (H, W, 3)
Label = npt.NDArray[np.uint8]  # class ids (H, W), IGNORE_INDEX for void
Colors = npt.ArrayLike  # one RGB colour, 0..255, for each class: (C, 3)

WHITE = (255, 255, 255)
BLACK = (0, 0, 0)
GRAY = (110, 110, 110)
RED = (230, 30, 30)
VOID = "void"
"""The name of void in legends."""
VOID_STRIPES = (40, 40, 40), (170, 170, 170)
"""Void pixels are hatched in these two greys, which no class looks like."""
_STRIPE = 3  # width of a stripe, in pixels
SMALLEST_TEXT = 14
"""Height of the smallest font, in pixels."""


def save_png(path: str | Path, picture: Picture) -> None:
    """Write an RGB picture as PNG. Raises OSError if the file cannot be written."""
    ok, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert ok, "PNG holds any uint8 picture"
    write_file(Path(path), encoded.tobytes())


def show_bands(
    image: npt.NDArray[Any],
    *,
    value_range: Sequence[tuple[float, float]] = ((0, 255),) * 3,
    bands: Sequence[int] | None = None,
) -> Picture:
    """An image (H, W, C) of any type as a picture: three of its bands, or one as grey.

    Args:
        image: the image.
        value_range: the two values of each band that are shown as black and as full color.
        bands: three bands to show as red, green and blue, or one, by their numbers from 1; None
            for the first three, or for the first where there are fewer.
    """
    if bands is None:
        bands = (1, 2, 3) if image.shape[2] >= 3 else (1,)
    picked = [number - 1 for number in bands]
    shown = image[..., picked]
    low, high = np.array([value_range[band] for band in picked], np.float32).T
    if image.dtype != np.uint8 or low.any() or (high != 255).any():
        shown = ((np.nan_to_num(shown) - low) / (high - low)).clip(0, 1) * 255
        shown = shown.round().astype(np.uint8)
    if len(picked) == 1:
        shown = np.repeat(shown, 3, axis=2)
    return np.ascontiguousarray(shown)


def color_labels(label: Label, colors: Colors) -> Picture:
    """Class ids (H, W) -> their colours (H, W, 3); void is hatched."""
    table = np.zeros((256, 3), np.uint8)
    num_classes = len(np.asarray(colors))
    table[:num_classes] = colors
    unknown = label[(label >= num_classes) & (label != IGNORE_INDEX)]
    if unknown.size:
        raise ValueError(
            f"the label holds class {unknown[0]}, but there are colours for classes 0 to "
            f"{num_classes - 1}; void pixels must be {IGNORE_INDEX}"
        )
    return hatch_void(table[label], label)


def hatch_void(picture: Picture, label: Label) -> Picture:
    """A picture with the void pixels of its label (H, W) hatched."""
    is_void = label == IGNORE_INDEX
    if not is_void.any():
        return picture
    return np.where(is_void[..., None], draw_hatching(picture.shape[:2]), picture).astype(np.uint8)


def draw_hatching(size: tuple[int, ...]) -> Picture:
    """A hatched picture of a height and width."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    return np.array(VOID_STRIPES, np.uint8).take((rows + columns) // _STRIPE % 2, axis=0)


def overlay(
    image: Picture,
    label: Label,
    colors: Colors,
    *,
    opacity: float = 0.5,
    unpainted: Collection[int] = (),
) -> Picture:
    """Blend the colours of the classes with an image; void pixels show the image only.

    Args:
        image: RGB (H, W, 3).
        label: class ids (H, W) of the image's size.
        colors: RGB (C, 3).
        opacity: 0 shows only the image, 1 only the colours.
        unpainted: classes whose pixels show the image only, as void does.
    """
    if image.shape[:2] != label.shape:
        raise ValueError(
            f"the image is {describe_size(image)} and its label {describe_size(label)}; expected "
            "the same size: resize the label to the nearest neighbour"
        )
    blended = cv2.addWeighted(image, 1 - opacity, color_labels(label, colors), opacity, 0)
    is_bare = np.isin(label, [IGNORE_INDEX, *unpainted])
    return np.where(is_bare[..., None], image, blended).astype(np.uint8)


def draw_legend(
    class_names: Sequence[str],
    colors: Colors,
    *,
    size: tuple[int, int],
    shares: Mapping[str, float] | None = None,
    unpainted: Collection[int] = (),
    has_void: bool = False,
) -> Picture:
    """Draw a legend to stand below a picture.

    Args:
        class_names, colors: C of each.
        size: height and width of the picture. The legend is wider if its text is.
        shares: share of the picture, 0..1, by class name. With it, only classes that are present
            are listed, the largest first, with their shares; without it, all classes.
        unpainted: classes that the picture does not paint; they have empty boxes.
        has_void: whether void is listed, after the classes.
    """
    palette = [tuple(int(value) for value in color) for color in np.asarray(colors)]
    palette = [WHITE if c in unpainted else color for c, color in enumerate(palette)]
    names = map(escape_controls, class_names)
    entries: list[tuple[str, str, tuple[int, ...] | None]] = [
        (name, "", color) for name, color in zip(names, palette, strict=True)
    ]
    if shares is not None:
        shares = {escape_controls(name): share for name, share in shares.items()}
        present = [entry for entry in entries if shares.get(entry[0], 0) > 0]
        present.sort(key=lambda entry: -shares[entry[0]])
        entries = [(name, percent(shares[name]), color) for name, _, color in present]
    if has_void:
        entries.append((VOID, "", None))
    text_height = text_height_for(max(size))
    font = load_font(text_height)
    gap = text_height // 2
    swatch = text_height + gap
    name_width = max((text_width(name, font) for name, _, _ in entries), default=0)
    share_width = max((text_width(share, font) for _, share, _ in entries), default=0)
    column = swatch + gap + name_width + (2 * gap + share_width if share_width else 0)
    row = text_height + gap

    # As many columns as fit, of equal length: 7 entries as 4 + 3, not as 6 + 1.
    num_columns = max(1, (size[1] - gap) // (column + 2 * gap))
    num_rows = math.ceil(len(entries) / num_columns)
    num_columns = math.ceil(len(entries) / max(num_rows, 1))
    width = max(size[1], num_columns * (column + 2 * gap))
    strip = Image.new("RGB", (width, num_rows * row + 2 * gap), WHITE)
    draw = ImageDraw.Draw(strip)
    for index, (name, share, color) in enumerate(entries):
        # Entries go down the columns.
        x = gap + index // num_rows * (column + 2 * gap)
        y = gap + index % num_rows * row
        middle = y + row // 2
        box = (x, middle - text_height // 2, x + swatch, middle + text_height // 2)
        if color is None:
            hatching = draw_hatching((box[3] - box[1], box[2] - box[0]))
            strip.paste(Image.fromarray(hatching), box[:2])
        draw.rectangle(box, fill=color, outline=GRAY)
        draw.text((x + swatch + gap, middle), name, fill=BLACK, font=font, anchor="lm")
        draw.text((x + column, middle), share, fill=GRAY, font=font, anchor="rm")
    return np.asarray(strip)


def stack(pictures: Sequence[Picture]) -> Picture:
    """Put pictures one below the other; all are padded with white to the widest."""
    width = max(picture.shape[1] for picture in pictures)
    widened = [
        np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), constant_values=255)
        for picture in pictures
    ]
    return np.vstack(widened)


def resize(image: Picture, size: tuple[int, int]) -> Picture:
    """Resize to (width, height): averages when it shrinks, nearest pixels when it enlarges."""
    shrinks = size[0] < image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    return cv2.resize(image, size, interpolation=how).astype(np.uint8)


@functools.cache
def load_font(height: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with Matplotlib; it has more than ASCII."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), height)


def text_height_for(longest_side: int) -> int:
    """Height of text that can still be read when a large picture is shown on a smaller screen."""
    return min(max(SMALLEST_TEXT, longest_side // 80), 64)


def text_width(text: str, font: ImageFont.FreeTypeFont) -> int:
    """Width of a text in pixels."""
    return math.ceil(font.getlength(text))


def percent(share: float) -> str:
    """A share in 0..1 as a percentage."""
    return "<0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def describe_size(array: npt.NDArray[np.uint8]) -> str:
    """Width and height of a picture or label, for messages."""
    return f"{array.shape[1]} x {array.shape[0]} pixels"
