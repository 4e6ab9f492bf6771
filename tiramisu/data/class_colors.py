"""The colors of classes in pictures."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tiramisu.data.background import find_background

Color = tuple[int, int, int]

BACKGROUND_GREY = (96, 96, 96)
"""The color of a background that has none."""
BRIGHT_COLORS = (
    (230, 40, 60), (40, 190, 90), (40, 120, 240), (250, 210, 40), (200, 60, 220), (40, 210, 220),
    (250, 130, 40), (150, 90, 250),
)  # fmt: skip
"""The first colors of classes that have none: they stand out on grey walls and green fields."""


def choose_colors(given: Sequence[Color | None], *, names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """RGB uint8 (C, 3): the given colors, and others for classes without one.

    A background is grey, so that the brightest colors are left for what is to be seen.

    Args:
        given: the color of each class, or None.
        names: their names.
    """
    colors = list(given)
    background = find_background(names)
    if background is not None and colors[background] is None and BACKGROUND_GREY not in colors:
        colors[background] = BACKGROUND_GREY
    unused = iter(distinct_colors(len(colors), taken={color for color in colors if color}))
    return np.array([color or next(unused) for color in colors], np.uint8)


def distinct_colors(count: int, *, taken: set[Color]) -> list[Color]:
    """`count` RGB colors that differ from each other and from those in `taken`.

    The first are bright, because few classes are often small objects. As in the palette of PASCAL
    VOC, the bits of a counter are spread over the channels then, so that colors next to each other
    differ strongly. Black is not used: it is the color of void.
    """
    colors = [color for color in BRIGHT_COLORS if color not in taken][:count]
    number = 0
    while len(colors) < count:
        number += 1
        channels = [0, 0, 0]
        for bit in range(24):
            channels[bit % 3] |= (number >> bit & 1) << (7 - bit // 3)
        color = (channels[0], channels[1], channels[2])
        if color not in taken and color not in BRIGHT_COLORS:
            colors.append(color)
    return colors
