"""The class that overlays leave unpainted, and its colour."""

from pathlib import Path

import numpy as np
import pytest
from tiny_data import random_label, write_pair

from tiramisu.data.background import find_background, find_unpainted
from tiramisu.data.catalog import load_spec
from tiramisu.data.class_colors import BACKGROUND_GREY


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("background", "crack"), 0),
        (("crack", "_background_"), 1),
        (("crack", "Back-Ground", "bg"), 1),
        (("BG", "crack"), 0),
        (("class_0", "class_1"), 0),
        (("class_0", "class_1", "class_2"), None),
        (("ground", "foreground"), None),
    ],
)
def test_background_is_found_by_its_name(names: tuple[str, ...], expected: int | None) -> None:
    assert find_background(names) == expected
    assert find_unpainted(names, None) == (() if expected is None else (expected,))


def test_named_classes_are_unpainted() -> None:
    names = ("background", "sky", "road")
    assert find_unpainted(names, ["road", "sky"]) == (2, 1)
    assert find_unpainted(names, []) == ()
    with pytest.raises(ValueError, match=r"no class rood; .* background, sky, road; did you mean"):
        find_unpainted(names, ["rood"])


def test_made_up_colors_are_grey_for_the_background_and_bright_for_others(tmp_path: Path) -> None:
    for split in ("train", "val"):
        label = random_label(0)
        pair = (tmp_path / kind / split / "a.png" for kind in ("images", "masks"))
        write_pair(
            *pair, np.where(label == 255, 255, np.minimum(label, 1)).astype(np.uint8), seed=0
        )
    spec = load_spec(str(tmp_path))
    assert spec.class_names == ("class_0", "class_1")
    background, other = spec.colors.astype(int).tolist()
    assert background == list(BACKGROUND_GREY)
    assert max(other) >= 200
    assert max(other) - min(other) >= 150
