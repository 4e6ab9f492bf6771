"""Matplotlib figures as pictures."""

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from tiramisu.visual.pictures import Picture

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#5b6675")
"""Of the first, second, ... series of data, as in pages; also colour-blind people can tell them
apart."""


def render(figure: Figure) -> Picture:
    """Draw a figure, cut to what is on it."""
    png = io.BytesIO()
    figure.savefig(png, format="png", bbox_inches="tight", pad_inches=0.1)
    return np.asarray(Image.open(png).convert("RGB"))
