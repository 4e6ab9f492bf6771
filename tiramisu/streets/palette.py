"""The colours of a street, RGB in 0..255, and ways to vary them.

Many surfaces have the same colours on purpose: a grey car must be recognised by its shape.
"""

import numpy as np

Rng = np.random.Generator
Color = tuple[float, float, float]
Colors = tuple[Color, ...]

BRICKS: Colors = (
    (138, 84, 66), (156, 104, 80), (118, 86, 72), (170, 146, 112), (186, 168, 138), (120, 108, 98),
    (206, 200, 188), (222, 214, 200), (150, 148, 146), (104, 102, 104), (198, 176, 150),
    (182, 132, 108), (150, 164, 172), (210, 186, 160), (92, 74, 66),
)  # fmt: skip
ROOFS: Colors = ((92, 84, 84), (110, 76, 64), (72, 74, 82), (128, 92, 76))
LEAVES: Colors = (
    (62, 84, 44), (78, 96, 50), (50, 66, 40), (96, 104, 58), (88, 78, 52), (112, 92, 50),
    (58, 72, 52), (122, 112, 62),
)  # fmt: skip
BARKS: Colors = ((84, 72, 60), (66, 60, 54), (104, 98, 88))
FASCIAS: Colors = (
    (36, 44, 92), (140, 30, 34), (34, 72, 54), (40, 40, 44), (196, 160, 60), (214, 208, 196),
    (90, 44, 84), (36, 104, 140),
)  # fmt: skip
GOODS: Colors = ((206, 202, 196), (190, 150, 60), (130, 44, 44), (92, 98, 112))
FENCES: Colors = ((44, 48, 48), (110, 84, 62), (178, 176, 168), (62, 78, 64), (134, 130, 122))
STEEL: Colors = ((58, 62, 62), (96, 100, 100), (134, 138, 138), (46, 58, 50))
PAINTS: Colors = (
    (36, 38, 42), (60, 62, 66), (122, 126, 130), (160, 164, 168), (190, 194, 198), (222, 222, 220),
    (30, 42, 82), (44, 76, 130), (128, 26, 30), (160, 40, 36), (40, 66, 54), (150, 140, 116),
)  # fmt: skip
CLOTHES: Colors = (  # trousers are one of the first seven
    (34, 34, 40), (50, 54, 70), (72, 66, 60), (104, 100, 98), (40, 58, 92), (130, 44, 44),
    (168, 160, 148), (206, 202, 196), (78, 88, 62), (190, 150, 60), (118, 82, 58),
)  # fmt: skip
SKINS: Colors = ((222, 180, 152), (196, 148, 116), (140, 98, 72), (88, 60, 46))
HAIRS: Colors = ((40, 34, 30), (92, 70, 50), (150, 130, 96), (130, 126, 122))
PAVINGS: Colors = ((150, 144, 138), (122, 118, 114), (164, 150, 134), (112, 110, 112))
GRASSES: Colors = ((92, 108, 54), (76, 96, 48), (116, 114, 66))
GLASS: Color = (52, 60, 70)
TRIM: Color = (214, 210, 202)
BLACK: Color = (26, 26, 28)


def shaded(color: Color, gain: float) -> Color:
    """The colour made darker (gain < 1) or lighter."""
    return (color[0] * gain, color[1] * gain, color[2] * gain)


def mixed(color: Color, other: Color, share: float) -> Color:
    """A mixture of two colours, with `share` (0..1) of `other`."""
    (r0, g0, b0), (r1, g1, b1), keep = color, other, 1 - share
    return (keep * r0 + share * r1, keep * g0 + share * g1, keep * b0 + share * b1)


def pick(rng: Rng, colors: Colors, spread: float = 0.1) -> Color:
    """One of the colours, changed a little at random."""
    red, green, blue, all_three = 1 + spread * rng.uniform(-1, 1, 4)
    r, g, b = colors[rng.integers(len(colors))]
    return (r * red * all_three, g * green * all_three, b * blue * all_three)


def pick_asphalt(rng: Rng, brightest: float) -> Color:
    """A grey of asphalt, up to the given brightness."""
    grey = rng.uniform(66, brightest)
    return (grey, grey * rng.uniform(0.97, 1.02), grey * rng.uniform(0.96, 1.06))
