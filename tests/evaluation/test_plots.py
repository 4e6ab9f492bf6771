import math

import numpy as np
import pytest
from matplotlib import pyplot

from tiramisu.evaluation.plots import plot_confusion, plot_curves


def ink(picture: np.ndarray) -> int:
    """Number of pixels that are not white."""
    return int((picture != 255).any(axis=-1).sum())


def blue(picture: np.ndarray) -> int:
    """Number of pixels in the colour of the first line."""
    return int((np.abs(picture.astype(int) - (31, 119, 180)).max(axis=-1) < 10).sum())


def test_curves_show_every_panel() -> None:
    rows = [
        {
            "epoch": epoch,
            "train_loss": 2 / (1 + epoch),
            "val_miou": 10.0 * epoch,
            "lr": 10.0**-epoch,
        }
        for epoch in range(5)
    ]
    picture = plot_curves(rows)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    panels = np.array_split(picture, 3, axis=1)
    assert all(blue(panel) > 200 for panel in panels)


def test_curves_mark_the_final_epochs() -> None:
    rows = [{"epoch": e, "train_loss": 1.0 / e, "val_miou": 40.0 + e, "lr": 0.1} for e in (1, 2, 3)]
    plain, marked = plot_curves(rows), plot_curves(rows, final_from=2)
    assert ink(marked) > ink(plain)
    assert ink(plot_curves(rows, final_from=3)) == ink(plain)  # not begun yet


def test_curves_of_one_epoch() -> None:
    assert blue(plot_curves([{"epoch": 0, "train_loss": 1.0, "val_miou": 3.0, "lr": 0.1}])) > 50


def test_curves_leave_out_what_is_missing() -> None:
    """Values as a CSV's reader gives them, with holes, are the same as no rows there at all."""
    clean = [{"epoch": str(epoch), "loss": str(1.0 - 0.1 * epoch)} for epoch in (0, 1, 4)]
    holes = [{"epoch": "2", "loss": ""}, {"epoch": "3", "loss": math.nan}, {"epoch": "3"}]
    infinite = [{"epoch": "3", "loss": "inf"}, {"epoch": None, "loss": "5"}]
    assert (plot_curves(clean) == plot_curves(clean + holes + infinite)).all()


def test_curves_of_nothing() -> None:
    assert blue(plot_curves([])) == 0
    assert ink(plot_curves([])) > 100


@pytest.mark.parametrize("num_classes", [2, 11, 30])
def test_confusion_grows_with_its_classes(num_classes: int) -> None:
    matrix = 90 * np.eye(num_classes, dtype=np.int64) + 1
    picture = plot_confusion(matrix, [f"class {index}" for index in range(num_classes)])
    assert min(picture.shape[:2]) > 40 * num_classes
    dark = (picture < 110).all(axis=-1).sum()
    assert dark > 100 * num_classes


def test_confusion_is_normalised_by_row() -> None:
    names = ("a", "b")
    counts = np.array([[30, 10], [5, 5]], np.int64)
    assert (plot_confusion(counts, names) == plot_confusion(counts * [[7], [1]], names)).all()
    assert (plot_confusion(counts, names) != plot_confusion(counts * [[7, 1]], names)).any()


def test_confusion_with_an_absent_class() -> None:
    plain = plot_confusion(np.array([[3, 1], [0, 0]], np.int64), ("a", "b"))
    assert plain.shape[2] == 3


def test_confusion_needs_a_name_for_each_class() -> None:
    with pytest.raises(ValueError, match="3 class names"):
        plot_confusion(np.zeros((2, 2), np.int64), ("a", "b", "c"))


def test_pyplot_is_left_alone() -> None:
    plot_curves([])
    plot_confusion(np.eye(2, dtype=np.int64), ("a", "b"))
    assert pyplot.get_fignums() == []
