"""Pictures of samples: their cells have the colours of labels, predictions and errors."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.data.dataset import ImageDataset
from tiramisu.evaluation import samples as samples_module
from tiramisu.evaluation.samples import (
    add_title,
    class_grid,
    mark_errors,
    pick_samples,
    sample_grid,
    save_samples,
)
from tiramisu.evaluation.uncertainty_grid import save_uncertainty, uncertainty_grid
from tiramisu.inference.predict import predict
from tiramisu.visual.heat import heat_map
from tiramisu.visual.pictures import RED, VOID_STRIPES

COLORS = ((200, 0, 0), (0, 200, 0), (0, 0, 200))
NAMES = ("road", "sky", "wall")


def is_gray(pixel: np.ndarray) -> bool:
    return len(set(pixel.tolist())) == 1


def is_red(pixel: np.ndarray) -> bool:
    return bool(pixel[0] > 2 * pixel[1] and pixel[0] > 2 * pixel[2])


def is_hatched(part: np.ndarray) -> bool:
    return {tuple(pixel) for pixel in part.reshape(-1, 3).tolist()} == set(VOID_STRIPES)


def test_grid_shows_image_ground_truth_prediction_and_errors() -> None:
    image = np.full((30, 60, 3), 90, np.uint8)
    label = np.zeros((60, 120), np.uint8)  # labels may be larger than the image
    label[:20] = 255
    prediction = np.zeros((60, 120), np.uint8)
    prediction[-20:] = 1
    arguments = {"names": ["one"], "class_names": NAMES, "colors": COLORS, "cell_width": 120}
    grid = sample_grid([image], [label], [prediction], **arguments)
    cells = grid[28:88]  # below the headings
    assert cells[30, 60].tolist() == [90, 90, 90]
    assert cells[30, 128 + 60].tolist() == list(COLORS[0])
    assert cells[55, 2 * 128 + 60].tolist() == list(COLORS[1])
    errors = cells[:, 3 * 128 :]
    assert is_hatched(errors[:20, :120])
    assert is_hatched(cells[:20, 128 : 128 + 120])
    assert is_gray(errors[30, 60])
    assert is_red(errors[55, 60])
    assert grid.shape[1] == 4 * 128 - 8


def test_grid_shows_the_image_where_a_class_is_the_background() -> None:
    image = np.full((30, 60, 3), 90, np.uint8)
    label = np.full((30, 60), 255, np.uint8)
    label[10:20], label[20:] = 0, 1
    options = {"names": ["one"], "colors": COLORS[:2], "cell_width": 60}
    grid = sample_grid([image], [label], [label], class_names=("bg", "crack"), **options)
    column = grid[28:58, 68 + 30].tolist()
    assert column[10:] == 10 * [[90] * 3] + 10 * [list(COLORS[1])]
    assert is_hatched(grid[28:38, 68 : 68 + 60])
    assert not (grid == COLORS[0]).all(axis=-1).any()  # nor in the legend
    painted = sample_grid([image], [label], [label], class_names=("a", "crack"), **options)
    assert painted[28 + 15, 68 + 30].tolist() == list(COLORS[0])


def test_long_texts_end_where_the_next_begins() -> None:
    image, label = np.zeros((30, 60, 3), np.uint8), np.zeros((30, 60), np.uint8)
    grid = sample_grid(
        [image], [label], [label], names=["name" * 50], class_names=NAMES, colors=COLORS,
        cell_width=120,
    )  # fmt: skip
    assert (grid[88:116, :120] < 255).any()
    assert (grid[88:116, 240:256] == 255).all()  # the score begins at 256
    classes = class_grid(
        [image] * 2, [np.array(0)] * 2, [np.ones(1)] * 2, class_names=["class" * 50], columns=2,
        cell=80,
    )  # fmt: skip
    assert (classes[90:, 10:90] < 255).any()
    assert (classes[:, 90:100] == 255).all()


def test_grid_takes_samples_of_different_sizes_and_all_void() -> None:
    images = [np.zeros(size, np.uint8) for size in ((40, 80, 3), (1200, 300, 3))]
    labels = [np.full((40, 80), 255, np.uint8), np.zeros((1200, 300), np.uint8)]
    grid = sample_grid(
        images,
        labels,
        [np.zeros_like(label) for label in labels],
        names=["a", "a very long name of a file " * 5],
        class_names=NAMES,
        colors=COLORS,
        cell_width=100,
    )
    assert grid.shape[0] > 50 + 400


def test_void_is_in_the_legend_only_where_there_is_some() -> None:
    image, label = np.full((30, 60, 3), 90, np.uint8), np.zeros((30, 60), np.uint8)
    void = label.copy()
    void[0, 0] = 255
    options = {"class_names": NAMES, "colors": COLORS, "names": ["one"], "cell_width": 60}
    plain, hatched = (sample_grid([image], [ids], [label], **options) for ids in (label, void))
    legend = 28 + 30 + 28 + 16
    assert not (plain[legend:] == VOID_STRIPES[1]).all(axis=-1).any()
    assert (hatched[legend:] == VOID_STRIPES[1]).all(axis=-1).sum() > 20


@pytest.mark.parametrize("brightness", [0, 128, 255])
def test_errors_are_darker_than_what_is_right(brightness: int) -> None:
    image = np.full((2, 2, 3), brightness, np.uint8)
    label = np.zeros((2, 2), np.uint8)
    marked = mark_errors(image, label, np.array([[0, 1], [0, 0]], np.uint8))
    assert marked[0, 1].tolist() == list(RED)
    assert is_gray(marked[0, 0])
    assert marked[0, 0, 0] >= 160
    assert marked[0, 0, 0] == 255 or brightness < 255


def test_a_title_stands_above_and_nothing_touches_the_edges() -> None:
    picture = np.full((40, 300, 3), 90, np.uint8)
    titled = add_title(picture, "fc56 on streets val")
    at = np.argwhere((titled == 90).all(axis=-1))
    assert at.min(axis=0)[1] == titled.shape[1] - 1 - at.max(axis=0)[1] == 12
    above = titled[: -40 - 12]
    assert (above < 100).any()
    assert (above[:12] == 255).all()
    assert (above[:, :12] == 255).all()
    narrow = add_title(picture[:, :30], "a very long title " * 9)
    assert narrow.shape[1] == 30 + 2 * 12


def test_grid_refuses_a_prediction_of_another_size() -> None:
    image, label = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match="one: the label is 4 x 4"):
        sample_grid([image], [label], [label[:2]], names=["one"], class_names=NAMES, colors=COLORS)


def test_samples_are_picked_at_even_distances(dataset: ImageDataset) -> None:
    assert pick_samples(dataset, number=2) == [0, 2]
    assert pick_samples(dataset, number=3) == pick_samples(dataset, number=9) == [0, 1, 2]


def test_saved_samples_are_predictions_of_the_model(
    dataset: ImageDataset,
    model: SegmentationModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {}

    def watch(images, labels, predictions, **options):  # type: ignore[no-untyped-def]
        given.update(options, images=images, labels=labels, predictions=predictions)
        return sample_grid(images, labels, predictions, **options)

    titles: list[str] = []

    def watch_title(picture: np.ndarray, title: str) -> np.ndarray:
        titles.append(title)
        return add_title(picture, title)

    monkeypatch.setattr(samples_module, "sample_grid", watch)
    monkeypatch.setattr(samples_module, "add_title", watch_title)
    save_samples(model, dataset, tmp_path / "samples.png")
    assert given["names"] == dataset.names
    for i, prediction in enumerate(given["predictions"]):
        image, label = dataset.read(i)
        assert (given["images"][i] == image).all()
        assert (given["labels"][i] == label).all()
        assert (prediction != predict(model, image).mask).mean() < 0.01
    saved = cv2.imread(str(tmp_path / "samples.png"))
    assert saved is not None
    assert (saved[:, :12] == 255).all()
    assert titles == [f"{model.info.arch} on {dataset.spec.name} {dataset.split}"]


def test_wrong_classes_are_written_in_red() -> None:
    images = [np.full((10, 10, 3), 50, np.uint8)] * 2
    labels = [np.array(0), np.array(2)]
    probabilities = [np.array([0.7, 0.2, 0.1], np.float32)] * 2
    grid = class_grid(images, labels, probabilities, class_names=NAMES, columns=2, cell=80)
    assert grid.shape == (80 + 2 * 20 + 2 * 10, 2 * 90 + 10, 3)
    captions = grid[90:].astype(int)
    reddest = captions[..., 0] - captions[..., 1]
    assert reddest[:, :95].max() == 0
    assert reddest[:20, 95:].max() > 100
    assert reddest[20:40, 95:].max() > 100  # the right class, in the second line


def test_uncertainty_grid_shows_errors_and_heat_maps() -> None:
    image = np.full((40, 80, 3), 90, np.uint8)
    label = np.zeros((40, 80), np.uint8)
    prediction = np.zeros((40, 80), np.uint8)
    prediction[20:] = 1
    entropy = np.full((40, 80), math.log(3), np.float32)
    disagreement = np.zeros((40, 80), np.float32)
    disagreement[20:] = 0.5
    grid = uncertainty_grid(
        [image],
        [label],
        [prediction],
        [entropy],
        [disagreement],
        names=["one"],
        num_classes=3,
        cell_width=80,
    )
    top = int(np.flatnonzero((grid[:, 40] == 90).all(axis=1))[0])
    cells = grid[top : top + 40]
    assert is_gray(cells[5, 88 + 40])
    assert is_red(cells[35, 88 + 40])
    highest = heat_map(entropy, highest=math.log(3))[0, 0]
    lowest = heat_map(disagreement, highest=0.5)[0, 0]
    assert cells[20, 2 * 88 + 40].tolist() == highest.tolist()
    assert cells[5, 3 * 88 + 40].tolist() == lowest.tolist()
    assert cells[35, 3 * 88 + 40].tolist() == highest.tolist()


def test_saved_uncertainty_is_where_random_passes_disagree(
    dataset: ImageDataset,
    model: SegmentationModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[np.ndarray] = []

    def watch(images, labels, predictions, entropies, disagreements, **options):  # type: ignore[no-untyped-def]
        given.extend(disagreements)
        assert all((e >= d).all() for e, d in zip(entropies, disagreements, strict=True))
        return uncertainty_grid(images, labels, predictions, entropies, disagreements, **options)

    monkeypatch.setattr("tiramisu.evaluation.uncertainty_grid.uncertainty_grid", watch)
    save_uncertainty(model, dataset, tmp_path / "uncertainty.png", passes=3)
    assert len(given) == 3
    assert all(values.shape == (64, 64) and values.max() > 1e-4 for values in given)
    assert cv2.imread(str(tmp_path / "uncertainty.png")) is not None


@pytest.mark.parametrize("name", ["two\nlines", "carriage\rreturn"])
def test_names_with_line_breaks_are_drawn_on_one_line(name: str) -> None:
    image, label = np.zeros((30, 60, 3), np.uint8), np.zeros((30, 60), np.uint8)
    grid = sample_grid([image], [label], [label], names=[name], class_names=NAMES, colors=COLORS)
    plain = sample_grid([image], [label], [label], names=["x"], class_names=NAMES, colors=COLORS)
    assert grid.shape == plain.shape
    scores = np.array([1, 0, 0], np.float32)
    class_grid([image], [np.array(0)], [scores], class_names=(name, "b", "c"))
