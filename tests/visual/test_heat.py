"""Heat maps: their colours, and the scale that explains them."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from tiramisu.visual.heat import draw_scale, find_scale, heat_map, heat_map_with_scale
from tiramisu.visual.pictures import save_png


def test_values_have_the_colours_of_inferno_in_the_file(tmp_path: Path) -> None:
    """From black over purple and red to yellow: read by another library than wrote them."""
    values = np.array([[0.0, 0.5, 1.0, 1.5, 2.0, 9.0]], np.float32)
    save_png(tmp_path / "heat.png", heat_map(values, highest=2.0))
    written = np.asarray(Image.open(tmp_path / "heat.png").convert("RGB")).astype(int)
    inferno = matplotlib.colormaps["inferno"](values[0] / 2.0, bytes=True)[:, :3].astype(int)
    assert np.abs(written[0] - inferno).max() <= 3
    red, _, blue = written[0, 3]
    assert red > blue + 100


def test_the_scale_is_a_round_number_that_almost_no_pixel_exceeds() -> None:
    for value, scale in ((0.013, 0.02), (0.03, 0.05), (0.6, 1.0), (1.5, 2.0)):
        assert find_scale(np.full((4, 4), value, np.float32)) == pytest.approx(scale)
    assert find_scale(np.zeros((4, 4), np.float32)) > 0


def test_the_scale_runs_from_0_to_the_highest_value_below_the_map() -> None:
    scale = draw_scale("entropy", highest=2.4, width=900, text_height=14)
    assert scale.shape == (28, 900, 3)
    assert draw_scale("entropy", highest=2.4, width=100, text_height=14).shape[1] > 100
    ends = heat_map(np.array([[0.0, 2.4]], np.float32), highest=2.4)[0]
    row = scale[14]
    first, last = (np.flatnonzero((row == end).all(axis=1)) for end in ends)
    assert first.size
    assert last.size
    assert first.min() < last.max()
    picture = heat_map_with_scale(np.zeros((40, 900), np.float32), title="entropy", highest=2.4)
    assert (picture[40:] == scale).all()
