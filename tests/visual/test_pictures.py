from pathlib import Path

import cv2
import numpy as np
import pytest

from tiramisu.visual.pictures import (
    VOID_STRIPES,
    color_labels,
    draw_legend,
    overlay,
    save_png,
    stack,
)

COLORS = ((200, 0, 0), (0, 200, 0), (0, 0, 200))
NAMES = ("road", "sky", "wall")


def label() -> np.ndarray:
    return np.array([[0, 1, 2], [255, 1, 0]], np.uint8)


def add_legend(image: np.ndarray, *args: object, **options: object) -> np.ndarray:
    return stack([image, draw_legend(*args, size=image.shape[:2], **options)])


def contains(picture: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((picture == color).all(axis=-1).any())


def test_labels_take_their_colors_and_void_is_hatched() -> None:
    colored = color_labels(label(), COLORS)
    assert colored.dtype == np.uint8
    assert colored[0].tolist() == [list(color) for color in COLORS]
    assert tuple(colored[1, 0]) in VOID_STRIPES
    hatched = color_labels(np.full((8, 9), 255, np.uint8), COLORS)
    assert [contains(hatched, stripe) for stripe in VOID_STRIPES] == [True, True]
    assert (hatched[1:, :-1] == hatched[:-1, 1:]).all()  # along diagonals


def test_label_without_a_color_is_refused() -> None:
    with pytest.raises(ValueError, match="class 7"):
        color_labels(np.array([[7]], np.uint8), COLORS)


def test_overlay_mixes_by_opacity_and_leaves_void_alone() -> None:
    image = np.full((2, 3, 3), 100, np.uint8)
    mixed = overlay(image, label(), COLORS, opacity=0.25)
    assert mixed[0, 0].tolist() == [125, 75, 75]
    assert mixed[1, 0].tolist() == [100, 100, 100]
    assert (overlay(image, label(), COLORS, opacity=0) == image).all()
    with pytest.raises(ValueError, match="3 x 2 pixels"):
        overlay(image[:1], label(), COLORS)


def test_unpainted_classes_show_the_image_and_have_an_empty_box() -> None:
    image = np.full((2, 3, 3), 100, np.uint8)
    mixed = overlay(image, label(), COLORS, unpainted=[1])
    is_bare = np.isin(label(), [1, 255])
    assert (mixed[is_bare] == 100).all()
    assert (mixed[~is_bare] != 100).any(axis=-1).all()
    legend = draw_legend(NAMES, COLORS, size=(64, 64), unpainted=[1])
    assert [contains(legend, color) for color in COLORS] == [True, False, True]


def test_void_has_a_hatched_box_in_the_legend() -> None:
    plain, legend = (
        draw_legend(NAMES, COLORS, size=(64, 64), has_void=has_void) for has_void in (False, True)
    )
    for stripe in VOID_STRIPES:
        assert not contains(plain, stripe)
        assert contains(legend, stripe)
    assert legend.shape[0] > plain.shape[0]


@pytest.mark.parametrize("size", [(64, 64), (360, 480), (40, 1000), (1000, 40), (1500, 2000)])
def test_legend_keeps_the_image_and_is_readable_at_any_size(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 77, np.uint8)
    picture = add_legend(image, NAMES, COLORS)
    assert (picture[: size[0], : size[1]] == image).all()
    legend = picture[size[0] :]
    for color in COLORS:
        rows, columns = np.nonzero((legend == color).all(axis=-1))
        # A swatch is whole (a filled rectangle), and so are the lines of text beside it.
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert np.ptp(rows) >= 10
    assert (legend[:, -1] == 255).all(), "nothing is cut off at the right"
    assert (legend[-1] == 255).all(), "nothing is cut off at the bottom"


def test_legend_lists_present_classes_by_share() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    shares = {"road": 0.2, "sky": 0.0, "wall": 0.8}
    legend = add_legend(image, NAMES, COLORS, shares=shares)[64:]
    assert not contains(legend, COLORS[1])
    first_row = {
        color: np.nonzero((legend == color).all(axis=-1))[0].min() for color in COLORS[::2]
    }
    assert first_row[COLORS[2]] < first_row[COLORS[0]]


def test_legend_widens_for_a_long_name() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    short = add_legend(image, ("a",), COLORS[:1])
    long = add_legend(image, ("a very long name of a class " * 3,), COLORS[:1])
    assert short.shape[1] == 64
    assert long.shape[1] > 500
    assert (long[:, -1] == 255).all()


def test_legend_of_nothing() -> None:
    picture = add_legend(np.zeros((9, 9, 3), np.uint8), NAMES, COLORS, shares={})
    assert picture.shape[1:] == (9, 3)


def test_png_keeps_rgb(tmp_path: Path) -> None:
    picture = np.zeros((4, 5, 3), np.uint8)
    picture[..., 0] = 255
    save_png(tmp_path / "a.png", picture)
    assert (cv2.imread(str(tmp_path / "a.png"))[..., ::-1] == picture).all()


def test_png_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot write .*a\.png: No such file"):
        save_png(tmp_path / "none" / "a.png", np.zeros((4, 5, 3), np.uint8))


@pytest.mark.parametrize("name", ["two\nlines", "carriage\rreturn", "escape\x1b[2J", "\u2028"])
def test_a_class_of_any_name_is_drawn_on_one_line(name: str) -> None:
    plain = draw_legend(("road",), COLORS[:1], size=(40, 400), shares={"road": 1.0})
    legend = draw_legend((name,), COLORS[:1], size=(40, 400), shares={name: 1.0})
    assert legend.shape == plain.shape
    assert contains(legend, COLORS[0])
