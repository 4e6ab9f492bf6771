"""Plots, read from the matplotlib figures before they are rendered."""

import math
import re

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tiramisu.evaluation import plots
from tiramisu.evaluation.calibration import BINS, ReliabilityMeter, reliability
from tiramisu.evaluation.plots import plot_confusion, plot_curves, plot_reliability
from tiramisu.evaluation.scores import LOSS
from tiramisu.evaluation.scores import Figure as Figure_
from tiramisu.inference.averaging import as_logits
from tiramisu.inference.tester import best_class
from tiramisu.visual.figure import COLORS
from tiramisu.visual.page import TEMPLATES


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plots return their figure, not a picture."""
    monkeypatch.setattr(plots, "render", lambda figure: figure)


def panels(*arguments: object, **options: object) -> list[Axes]:
    figure = plot_curves(*arguments, **options)  # type: ignore[arg-type]
    assert isinstance(figure, Figure)
    return figure.axes


def curves(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """The points of each curve by the name in the legend; underscores start other marks."""
    return {
        str(line.get_label()): [(float(x), float(y)) for x, y in line.get_xydata()]
        for line in axes.get_lines()
        if not str(line.get_label()).startswith("_")
    }


ROWS = [
    {"epoch": epoch, "train_loss": 2 / epoch, "val_miou": 10.0 * epoch, "lr": 10.0**-epoch}
    for epoch in (1, 2, 3)
]


@pytest.mark.usefixtures("unrendered")
def test_each_value_has_its_panel() -> None:
    loss, score, rate = panels(ROWS)
    assert curves(loss) == {"training loss": [(1, 2), (2, 1), (3, 2 / 3)]}
    assert curves(score) == {"validation mIoU": [(1, 10), (2, 20), (3, 30)]}
    assert curves(rate) == {"learning rate": [(1, 0.1), (2, 0.01), (3, pytest.approx(0.001))]}
    assert loss.get_title() == "loss"
    assert score.get_title() == "mIoU (best 30 at epoch 3)"
    assert (loss.get_yscale(), rate.get_yscale()) == ("linear", "log")


@pytest.mark.usefixtures("unrendered")
def test_plots_have_titles_and_the_colors_of_pages() -> None:
    figure = plot_curves(ROWS, title="fc56 on $x")
    assert isinstance(figure, Figure)
    assert figure.get_suptitle() == "fc56 on $x"
    assert [axes.get_lines()[0].get_color() for axes in figure.axes] == [COLORS[0]] * 3
    confusion = plot_confusion(np.eye(2, dtype=np.int64), ("a", "b"), title="fc56 on x")
    assert confusion.axes[0].get_title() == "fc56 on x"  # type: ignore[attr-defined]
    bins = reliability(ReliabilityMeter(ignore_index=255).compute())
    shown = plot_reliability(bins, title="fc56 on x")
    assert shown.get_suptitle() == "fc56 on x"  # type: ignore[attr-defined]
    sheet = (TEMPLATES / "page.css").read_text()
    light = re.findall(r"--series-\d: (#\w+)", sheet)[: len(COLORS)]
    assert tuple(light) == COLORS


def test_names_of_classes_are_no_formulas() -> None:
    monitor = Figure_(key="iou/$x", name="IoU of $\\x$", attribute="iou", class_index=0)
    plot_curves([{"epoch": 1, "val_iou/$x": 5}], monitor=monitor, title="$\\x$")
    plot_confusion(np.eye(2, dtype=np.int64), ("$\\x$", "b"), title="$\\x$")


@pytest.mark.usefixtures("unrendered")
def test_the_best_epoch_is_that_of_the_validation() -> None:
    rows = [
        {"epoch": 1, "train_top1": 90.0, "val_top1": 60.0},
        {"epoch": 2, "train_top1": 99.0, "val_top1": 50.0},
    ]
    _, score, _ = panels(rows, task="classification")
    assert score.get_title() == "top-1 (best 60 at epoch 1)"
    assert set(curves(score)) == {"training top-1", "validation top-1"}


@pytest.mark.usefixtures("unrendered")
def test_the_best_epoch_is_that_of_the_monitor() -> None:
    name = "iou/glossy miou lr"  # the words of all panels
    monitor = Figure_(key=name, name="IoU of it", attribute="iou", class_index=0)
    losses = [0.5, 0.3, 0.4]
    rows = [
        {**row, "val_loss": loss, f"val_{name}": iou}
        for row, loss, iou in zip(ROWS, losses, [50.0, 20.0, 10.0], strict=True)
    ]
    loss, score, rate = panels(rows, monitor=monitor)
    assert set(curves(loss)) == {"training loss", "validation loss"}
    assert set(curves(score)) == {"validation mIoU", "validation IoU of it"}
    assert set(curves(rate)) == {"learning rate"}
    assert score.get_title() == "IoU of it (best 50 at epoch 1)"
    loss, score, _ = panels(rows, monitor=LOSS)
    assert loss.get_title() == "loss (best 0.3 at epoch 2)"
    assert score.get_title() == "mIoU"


@pytest.mark.usefixtures("unrendered")
def test_final_epochs_are_marked_once_they_have_begun() -> None:
    for axes in panels(ROWS, final_from=2):
        assert [x for x, _ in curves(axes)["final epochs"]] == [2.5, 2.5]
    for axes in panels(ROWS, final_from=3):
        assert "final epochs" not in curves(axes)


@pytest.mark.usefixtures("unrendered")
def test_a_single_epoch_is_a_point() -> None:
    loss, *_ = panels(ROWS[:1])
    assert curves(loss) == {"training loss": [(1, 2)]}
    assert loss.get_lines()[0].get_marker() == "o"


@pytest.mark.usefixtures("unrendered")
def test_missing_values_are_left_out() -> None:
    rows = [
        *({"epoch": "1", "loss": "0.5"}, {"epoch": "2", "loss": ""}, {"epoch": "3"}),
        *({"epoch": "4", "loss": math.nan}, {"epoch": "5", "loss": "inf"}),
        *({"epoch": None, "loss": "5"}, {"epoch": "6", "loss": "0.25"}),
    ]
    assert curves(panels(rows)[0]) == {"loss": [(1, 0.5), (6, 0.25)]}


@pytest.mark.usefixtures("unrendered")
def test_panels_without_values_say_so() -> None:
    for axes in panels([]):
        assert curves(axes) == {}
        assert [text.get_text() for text in axes.texts] == ["no values"]


def confusion_axes(matrix: np.ndarray, names: list[str]) -> Axes:
    figure = plot_confusion(matrix, names)
    assert isinstance(figure, Figure)
    return figure.axes[0]


@pytest.mark.usefixtures("unrendered")
def test_confusion_is_in_percent_of_the_ground_truth() -> None:
    axes = confusion_axes(np.array([[30, 10, 0], [1, 4, 0], [0, 0, 0]]), ["a", "b", "c"])
    texts = {text.get_position(): text.get_text() for text in axes.texts}  # (column, row)
    assert [texts[column, 0] for column in range(3)] == ["75", "25", ""]
    assert [texts[column, 1] for column in range(3)] == ["20", "80", ""]
    assert [texts[column, 2] for column in range(3)] == ["-", "-", "-"]  # an absent class
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    assert axes.get_ylabel() == "ground truth"
    shown = axes.images[0].get_array()
    assert shown is not None
    assert shown[0].tolist() == [75, 25, 0]


@pytest.mark.usefixtures("unrendered")
def test_confusion_of_many_classes_shows_no_values_and_fewer_names() -> None:
    axes = confusion_axes(np.eye(300, dtype=np.int64), [f"class{i}" for i in range(300)])
    assert not list(axes.texts)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[:2] == ["class0", "class3"]
    assert len(names) == 100


def test_confusion_needs_a_name_for_each_class() -> None:
    with pytest.raises(ValueError, match="3 class names"):
        plot_confusion(np.zeros((2, 2), np.int64), ("a", "b", "c"))


@pytest.mark.usefixtures("unrendered")
def test_reliability_shows_accuracy_and_share_of_each_bin() -> None:
    meter = ReliabilityMeter(ignore_index=255)
    first = torch.tensor([0.9, 0.9, 0.9, 0.6])
    logits = as_logits(torch.stack([first, 1 - first])[None, :, None])
    meter.update(*best_class(logits), torch.tensor([[[0, 0, 1, 0]]]))
    figure = plot_reliability(reliability(meter.compute()))
    assert isinstance(figure, Figure)
    upper, lower = figure.axes
    accuracies = [float(bar.get_height()) for bar in upper.patches]
    shares = [float(bar.get_height()) for bar in lower.patches]
    assert len(accuracies) == len(shares) == BINS
    assert (accuracies[9], accuracies[13]) == (1, pytest.approx(2 / 3))
    assert (shares[9], shares[13]) == (0.25, 0.75)
    assert sum(shares) == 1
    error = 0.25 * 0.4 + 0.75 * abs(0.9 - 2 / 3)
    assert upper.get_title() == f"expected calibration error {100 * error:.1f} %"


def test_plots_are_rgb_pictures_and_leave_pyplot_alone() -> None:
    empty = ReliabilityMeter(ignore_index=255)
    for picture in (
        plot_curves(ROWS),
        plot_curves([]),
        plot_confusion(np.eye(2, dtype=np.int64), ("a", "b")),
        plot_reliability(reliability(empty.compute())),
    ):
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert picture.shape[2] == 3
    assert pyplot.get_fignums() == []
