"""Heat maps: a number for each pixel as a colour, from dark for 0 to bright for the highest."""

import math

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from tiramisu.visual import pictures
from tiramisu.visual.pictures import BLACK, WHITE, Picture

Heat = npt.NDArray[np.float32]  # a number for each pixel, (H, W)


def find_scale(values: Heat) -> float:
    """The value for the brightest colour, where no highest value is known.

    It is 1, 2 or 5 times a power of ten, and at most one pixel in a thousand lies above it.
    """
    high = max(float(np.quantile(values, 0.999)), 1e-6)
    power = 10.0 ** math.floor(math.log10(high))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= high)


def heat_map(values: Heat, *, highest: float) -> Picture:
    """Numbers (H, W) as colours, RGB (H, W, 3); those above `highest` have the brightest colour."""
    levels = np.clip(255 * values / highest, 0, 255).round().astype(np.uint8)
    colored = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(colored, cv2.COLOR_BGR2RGB), np.uint8)


def heat_map_with_scale(values: Heat, *, title: str, highest: float) -> Picture:
    """A heat map, and below it the scale of its colours."""
    height, width = pictures.text_height_for(max(values.shape)), values.shape[1]
    scale = draw_scale(title, highest=highest, width=width, text_height=height)
    return pictures.stack([heat_map(values, highest=highest), scale])


def draw_scale(title: str, *, highest: float, width: int, text_height: int) -> Picture:
    """The scale of a heat map, from 0 to `highest` nats; at least `width` pixels wide."""
    font = pictures.load_font(text_height)
    gap = text_height // 2
    low, high = f"{title}  0", f"{highest:.2g} nats"
    ends = pictures.text_width(low, font) + pictures.text_width(high, font) + 4 * gap
    bar = max(width - ends, 4 * text_height)
    height = 2 * text_height
    strip = Image.new("RGB", (max(width, bar + ends), height), WHITE)
    draw = ImageDraw.Draw(strip)
    draw.text((gap, height // 2), low, fill=BLACK, font=font, anchor="lm")
    ramp = np.tile(np.linspace(0, highest, bar, dtype=np.float32), (text_height, 1))
    left = 2 * gap + pictures.text_width(low, font)
    strip.paste(Image.fromarray(heat_map(ramp, highest=highest)), (left, gap))
    draw.text((left + bar + gap, height // 2), high, fill=BLACK, font=font, anchor="lm")
    return np.asarray(strip)
