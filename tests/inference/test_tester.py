"""Batches of a data set: small images whole, large ones in tiles, and never more than fits."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.evaluation.meter import Meter
from tiramisu.inference import tester as tester_module
from tiramisu.inference.averaging import Passes
from tiramisu.inference.predict import predict
from tiramisu.inference.tester import PixelTester, as_tile, best_class

MakeModel = Callable[..., SegmentationModel]


def noise(*size: int, seed: int = 0) -> Tensor:
    """Images (B, 3, H, W), uint8."""
    batch, height, width = size
    values = np.random.default_rng(seed).integers(0, 256, (batch, 3, height, width), np.uint8)
    return torch.from_numpy(values)


def as_picture(image: Tensor) -> np.ndarray:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


class Limited(nn.Module):
    """Runs out of memory above a side or a batch, and remembers what it was shown."""

    def __init__(self, network: nn.Module, *, side: int = 10**6, batch: int = 10**6) -> None:
        super().__init__()
        self.network, self.side, self.batch = network, side, batch
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        if max(images.shape[-2:]) > self.side or len(images) > self.batch:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.shapes.append((len(images), *images.shape[-2:]))
        return self.network(images)


@pytest.fixture
def limited(make_model: MakeModel) -> Callable[..., tuple[SegmentationModel, Limited]]:
    def make(**limits: int) -> tuple[SegmentationModel, Limited]:
        network = Limited(make_model().network, **limits)
        return make_model(network), network

    return make


@pytest.mark.parametrize("size", [(40, 52), (80, 104)], ids=["own size", "larger labels"])
def test_small_images_are_what_the_logits_say(make_model: MakeModel, size: tuple) -> None:
    model, images = make_model(), noise(3, 40, 52)
    with torch.inference_mode():
        logits = model(images, size=size)
    tested = PixelTester(model).test(images, size=size)
    assert torch.equal(tested.classes, logits.argmax(dim=1))
    confidence = (logits.amax(dim=1) - logits.logsumexp(dim=1)).exp()
    assert torch.equal(tested.confidence, confidence)
    assert tested.is_finite


@pytest.mark.parametrize("image_scale", [1.0, 0.5])
@pytest.mark.parametrize("tta", [False, True])
def test_large_images_are_what_predict_says(
    make_model: MakeModel, image_scale: float, tta: bool
) -> None:
    model = make_model(image_scale=image_scale)
    images = noise(2, 150, 201)
    tested = PixelTester(model, tile=64, tta=tta).test(images, size=(150, 201))
    assert tested.classes.dtype == torch.uint8  # five bytes a pixel
    if image_scale == 1:
        for i in range(2):
            expected = predict(model, as_picture(images[i]), tile=64, tta=tta)
            assert np.array_equal(tested.classes[i], expected.mask)
            assert np.array_equal(tested.confidence[i], expected.confidence)
    larger = PixelTester(model, tile=64, tta=tta).test(images, size=(300, 402))
    whole = PixelTester(model, tile=None, tta=tta).test(images, size=(300, 402))
    assert (larger.classes == whole.classes).float().mean() > (0.99 if tta else 0.999)
    # With tta, copies are averaged before they are resized to the labels, as in `predict`.
    tolerance = 1e-2 if tta else 1e-4
    torch.testing.assert_close(larger.confidence, whole.confidence, atol=tolerance, rtol=0)


def test_a_meter_counts_tiles_as_it_counts_whole_images(make_model: MakeModel, monkeypatch) -> None:
    model, images = make_model(), noise(2, 130, 170)
    labels = torch.randint(0, 3, (2, 130, 170), generator=torch.manual_seed(0))
    labels[:, :20] = 255
    scores = []
    for tile in (None, 64):
        tested = PixelTester(model, tile=tile).test(images, size=(130, 170), labels=labels)
        assert tested.log_likelihood is not None
        meter = Meter("segmentation", 3, ignore_index=255)
        monkeypatch.setattr("tiramisu.evaluation.meter.COUNTED_AT_ONCE", 10**6 if tile else 999)
        meter.update(
            tested.classes,
            tested.confidence,
            labels.to(torch.uint8),
            log_likelihood=tested.log_likelihood,
        )
        scores.append(meter.compute())
    expected = torch.nn.functional.cross_entropy(model(images), labels, ignore_index=255)
    for counted in scores:
        assert counted.cross_entropy == pytest.approx(float(expected), abs=1e-5)
    assert scores[0].matrix.sum() == (labels != 255).sum()
    assert abs(scores[0].matrix - scores[1].matrix).sum() <= 2  # rounding where two are equal
    counts = [s.reliability.count for s in scores if s.reliability is not None]
    assert abs(counts[0] - counts[1]).sum() <= 4


def test_the_network_sees_batches_of_small_images_and_tiles_of_large_ones(limited) -> None:
    model, network = limited()
    tester = PixelTester(model, tile=96)
    tester.test(noise(3, 96, 64), size=(96, 64))
    assert network.shapes == [(3, 96, 64)]
    network.shapes.clear()
    tester.test(noise(2, 97, 300), size=(97, 300))
    assert {shape[0] for shape in network.shapes} == {1}
    assert max(max(shape[1:]) for shape in network.shapes) == 96
    network.shapes.clear()
    PixelTester(model, tile=None).test(noise(2, 97, 300), size=(97, 300))
    assert network.shapes == [(2, 97, 300)]


def test_labels_that_are_much_larger_are_made_by_rows(limited, monkeypatch) -> None:
    model, _ = limited()
    monkeypatch.setattr(PixelTester, "_test_whole", lambda *_: pytest.fail("too large"))
    tested = PixelTester(model, tile=64).test(noise(1, 64, 64), size=(200, 200))
    assert tested.classes.shape == (1, 200, 200)


@pytest.mark.parametrize("limits", [{"side": 150}, {"batch": 1}], ids=str)
def test_out_of_memory_makes_smaller_tiles_that_stay(limited, limits: dict, caplog) -> None:
    model, network = limited(**limits)
    expected, _ = limited()
    images = noise(2, 260, 300)
    tester = PixelTester(model, tile=300)
    for _ in range(2):
        tested = tester.test(images, size=(260, 300))
        whole = PixelTester(expected, tile=None).test(images, size=(260, 300))
        assert (tested.classes == whole.classes).float().mean() > 0.999
    assert {shape[0] for shape in network.shapes} == {1}
    if "side" in limits:
        assert max(max(shape[1:]) for shape in network.shapes) == 150
        assert tester.side == 150
        assert caplog.text.count("going on with 150") == 1


def test_a_batch_that_is_too_large_goes_one_by_one_from_then_on(limited, caplog) -> None:
    model, network = limited(batch=2)
    tester = PixelTester(model)
    for _ in range(2):
        tested = tester.test(noise(3, 40, 52), size=(40, 52))
        expected = PixelTester(limited()[0]).test(noise(3, 40, 52), size=(40, 52))
        assert torch.equal(tested.classes, expected.classes)
    assert network.shapes == [(1, 40, 52)] * 6
    assert caplog.text.count("out of memory with 3 images; going on one by one") == 1


def test_out_of_memory_without_tiles_is_an_error(limited) -> None:
    model, _ = limited(side=50)
    with pytest.raises(torch.OutOfMemoryError):
        PixelTester(model, tile=None).test(noise(1, 64, 64), size=(64, 64))
    with pytest.raises(torch.OutOfMemoryError):  # smaller than the smallest tiles
        PixelTester(model).test(noise(1, 64, 64), size=(64, 64))


def test_other_errors_are_not_taken_for_memory(make_model: MakeModel, monkeypatch) -> None:
    model = make_model()
    calls: list[int] = []

    def fail(*_: object) -> None:
        calls.append(1)
        raise RuntimeError("sizes do not match")

    model.network.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="do not match"):
        PixelTester(model).test(noise(1, 64, 64), size=(64, 64))
    assert len(calls) == 1


@pytest.mark.parametrize("tile", [None, 64])
def test_outputs_that_are_no_numbers_are_told(make_model: MakeModel, tile: int | None) -> None:
    model = make_model()
    model.network.register_forward_hook(lambda *call: call[-1] * float("nan"))
    tested = PixelTester(model, tile=tile).test(noise(1, 70, 70), size=(70, 70))
    assert not tested.is_finite


def test_passes_are_averaged_in_tiles_too(make_model: MakeModel, monkeypatch) -> None:
    model, images = make_model(), noise(1, 130, 150)
    whole, tiled = (
        PixelTester(model, tile=tile, passes=3).average(images, size=(130, 150))
        for tile in (None, 64)
    )
    torch.testing.assert_close(whole.mean, tiled.mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(whole.entropy, tiled.entropy, atol=1e-4, rtol=0)
    calls: list[int] = []
    average = tester_module.average

    def watch(run: Callable[[], Tensor], *, passes: int) -> Passes:
        calls.append(passes)
        return average(run, passes=passes)

    monkeypatch.setattr(tester_module, "average", watch)
    tested = PixelTester(model, tile=64, passes=3).test(images, size=(130, 150))
    assert calls == [3]
    assert (tested.classes == whole.mean.argmax(dim=1)).float().mean() > 0.999


def test_best_class_of_vectors_and_the_setting() -> None:
    classes, confidence = best_class(torch.tensor([[0.0, 0.0, 5.0]]))
    assert classes.tolist() == [2]
    assert confidence.item() == pytest.approx(0.9867, abs=1e-4)
    assert as_tile("off") is None
    assert (as_tile(96), as_tile("auto")) == (96, "auto")
