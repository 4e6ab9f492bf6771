import base64
import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.data.readers.image_file import read_image
from tiramisu.data.resizing import resize_image
from tiramisu.inference import predict as predict_module
from tiramisu.inference.predict import predict, predict_probabilities

MakeModel = Callable[..., SegmentationModel]
RNG = np.random.default_rng(0)


def noise(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


class SizeLimited(nn.Module):
    """Runs out of memory beyond a number of pixels, and remembers what it saw."""

    def __init__(self, network: nn.Module, *, limit: int) -> None:
        super().__init__()
        self.network = network
        self.limit = limit
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-2] * images.shape[-1] > self.limit:
            raise torch.OutOfMemoryError("out of memory")
        self.shapes.append(tuple(images.shape[-2:]))
        return self.network(images)


def test_predicts_class_confidence_and_shares(channel_model: SegmentationModel) -> None:
    image = np.zeros((40, 50, 3), np.uint8)
    image[:10, :, 0] = 255
    image[10:, :, 2] = 255
    prediction = predict(channel_model, image)
    assert prediction.mask.dtype == np.uint8
    assert (prediction.mask[:10] == 0).all()
    assert (prediction.mask[10:] == 2).all()
    assert prediction.confidence.min() > 0.99
    assert prediction.shares == {"sky": 0.25, "wall": 0.0, "road": 0.75}
    assert prediction.overlay(image, opacity=1)[0, 0].tolist() == [128, 128, 128]


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 100), (33, 65), (300, 31)])
@pytest.mark.parametrize("image_scale", [1.0, 0.5])
def test_any_size_gives_probabilities_of_that_size(
    make_model: MakeModel, size: tuple[int, int], image_scale: float
) -> None:
    model = make_model(image_scale=image_scale)
    probabilities = predict_probabilities(model, noise(*size))
    assert probabilities.shape == (3, *size)
    assert probabilities.dtype == torch.float32
    assert torch.allclose(probabilities.sum(dim=0), torch.ones(size), atol=1e-5)


@pytest.mark.parametrize("size", [(20, 30), (100, 40), (300, 200), (64, 96)])
@pytest.mark.parametrize("tile", [None, 64])
def test_a_model_with_a_size_sees_every_image_in_it(
    make_model: MakeModel, size: tuple[int, int], tile: int | None
) -> None:
    network = SizeLimited(make_model().network, limit=10**9)
    model, image = make_model(network, image_size=(64, 96)), noise(*size)
    probabilities = predict_probabilities(model, image, tile=tile)
    expected = {(64, 96)} if tile is None else {(64, 64)}
    assert set(network.shapes) == expected
    assert probabilities.shape == (3, *size)
    seen = torch.from_numpy(resize_image(image, height=64, width=96)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        logits = model(seen, size=size)[0]
    assert torch.allclose(probabilities, logits.softmax(dim=0), atol=1e-4)


def test_whole_image_is_the_softmax_of_the_logits(make_model: MakeModel) -> None:
    model, image = make_model(), noise(40, 52)
    with torch.inference_mode():
        logits = model(torch.from_numpy(image).permute(2, 0, 1)[None])[0]
    assert torch.allclose(predict_probabilities(model, image), logits.softmax(dim=0), atol=1e-6)


@pytest.mark.parametrize("image_scale", [1.0, 0.5])
@pytest.mark.parametrize("tta", [False, True])
def test_tiles_equal_the_whole_image(make_model: MakeModel, image_scale: float, tta: bool) -> None:
    # The context cut off at a seam is 64 / 4 / 4 = 4 pixels, as far as the network looks.
    model, image = make_model(image_scale=image_scale), noise(150, 231)
    whole = predict_probabilities(model, image, tile=None, tta=tta)
    tiled = predict_probabilities(model, image, tile=64, overlap=0.25, tta=tta)
    assert torch.allclose(whole, tiled, atol=1e-5)


def test_mask_and_confidence_are_the_highest_probability(make_model: MakeModel) -> None:
    model, image = make_model(image_scale=0.5), noise(700, 231)
    for tile in (None, 64):
        confidence, mask = predict_probabilities(model, image, tile=tile).max(dim=0)
        prediction = predict(model, image, tile=tile)
        assert (prediction.mask == mask.numpy()).all()
        assert (prediction.confidence == confidence.numpy()).all()


def test_logits_of_a_large_image_are_never_held_at_once(make_model: MakeModel) -> None:
    """Parts of the image arrive from the top down, each no higher than a tile."""
    model, image = make_model(), noise(1600, 160)
    parts = list(
        predict_module.probabilities_by_rows(model, image, tile=64, overlap=0.25, tta=False)
    )
    tops = [top for top, _ in parts]
    heights = [part.shape[1] for _, part in parts]
    assert max(heights) <= 64
    assert tops == [sum(heights[:i]) for i in range(len(parts))]
    assert sum(heights) == 1600


def test_resized_by_rows_equals_resized_at_once(make_model: MakeModel) -> None:
    model, image = make_model(image_scale=0.37), noise(900, 161)
    small = predict_module._prepare(image, (333, 60))
    with torch.inference_mode():
        logits = model(small, size=(900, 161))[0]
    assert torch.allclose(predict_probabilities(model, image), logits.softmax(dim=0), atol=1e-5)


def test_tiles_are_full_size_at_the_border(make_model: MakeModel) -> None:
    network = SizeLimited(nn.Conv2d(3, 3, 1), limit=10**9)
    predict(make_model(network), noise(100, 70), tile=48, overlap=0)
    assert network.shapes == [(48, 48)] * 6


def test_image_scale_is_what_the_network_sees(make_model: MakeModel) -> None:
    network = SizeLimited(nn.Conv2d(3, 3, 1), limit=10**9)
    assert predict(make_model(network, image_scale=0.5), noise(90, 130)).mask.shape == (90, 130)
    assert network.shapes == [(45, 65)]


def test_tta_averages_with_the_mirrored_image(make_model: MakeModel) -> None:
    model, image = make_model(), noise(40, 60)
    both = predict_probabilities(model, image, tta=True)
    mirrored = predict_probabilities(model, np.ascontiguousarray(image[:, ::-1]), tta=True)
    assert torch.allclose(both, mirrored.flip(-1), atol=1e-6)
    assert not torch.allclose(both, predict_probabilities(model, image), atol=1e-3)


@pytest.mark.parametrize("tile", ["auto", 300, None])
def test_an_image_that_is_not_larger_than_a_tile_goes_whole(
    make_model: MakeModel, tile: int | str | None
) -> None:
    network = SizeLimited(nn.Conv2d(3, 3, 1), limit=10**9)
    predict(make_model(network), noise(200, 300), tile=tile)
    assert network.shapes == [(200, 300)]


def test_tiles_are_of_1024_pixels(make_model: MakeModel) -> None:
    network = SizeLimited(nn.Conv2d(3, 3, 1), limit=10**9)
    predict(make_model(network), noise(1030, 40))
    assert network.shapes == [(1024, 40)] * 2


@pytest.mark.parametrize("run", [predict, predict_probabilities])
def test_smaller_tiles_when_memory_runs_out(
    make_model: MakeModel, run, caplog: pytest.LogCaptureFixture
) -> None:
    whole, image = make_model(), noise(400, 300)
    network = SizeLimited(whole.network, limit=201**2)
    prediction = run(make_model(network), image)
    assert set(network.shapes) == {(200, 200)}  # half of the longest side
    expected = run(whole, image)
    if run is predict:
        assert (prediction.mask == expected.mask).all()
    else:
        torch.testing.assert_close(prediction, expected, rtol=0, atol=1e-5)
    assert "out of memory" in caplog.text
    assert "200" in caplog.text


@pytest.mark.parametrize("tile", [None, "auto"])
def test_too_little_memory_for_any_tile(make_model: MakeModel, tile: str | None) -> None:
    model = make_model(SizeLimited(nn.Conv2d(3, 3, 1), limit=100))
    with pytest.raises(torch.OutOfMemoryError):
        predict(model, noise(400, 300), tile=tile)


def test_probabilities_can_be_changed_in_place(make_model: MakeModel) -> None:
    predict_probabilities(make_model(), noise(40, 40)).mul_(2)


def test_a_shrunk_image_is_the_mean_of_its_pixels(make_model: MakeModel) -> None:
    """Down-sampling averages: black and white stripes become grey, which a nearest pixel is not."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, ::2] = 255
    seen: list[Tensor] = []
    network = nn.Conv2d(3, 3, 1)
    network.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    predict(make_model(network, image_scale=0.5), image)
    grey = 255 * seen[0]  # the tiny model's mean is 0 and its std 1
    assert grey.shape[-2:] == (32, 32)
    assert ((grey - 127.5).abs() <= 1).all()


def test_errors_of_the_network_are_not_taken_for_memory(make_model: MakeModel) -> None:
    model = make_model(nn.Conv2d(5, 3, 1))
    with pytest.raises(RuntimeError, match="channels"):
        predict(model, noise(300, 300))


def test_gray_and_transparent_images_are_converted(channel_model: SegmentationModel) -> None:
    image = noise(40, 40)
    expected = predict(channel_model, image).mask
    rgba = np.dstack([image, np.zeros((40, 40), np.uint8)])
    assert (predict(channel_model, rgba).mask == expected).all()
    gray = image[..., 0]
    stacked = predict_probabilities(channel_model, np.dstack([gray] * 3))
    assert torch.equal(predict_probabilities(channel_model, gray), stacked)
    assert torch.equal(predict_probabilities(channel_model, gray[..., None]), stacked)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8, 3), np.float32), "expected uint8"),
        (np.zeros((3, 8, 8), np.uint8), "channels last"),
        (np.zeros((0, 8, 3), np.uint8), r"\(0, 8, 3\)"),
        (torch.zeros(3, 8, 8), "NumPy array"),
    ],
)
def test_wrong_arrays_are_refused(
    channel_model: SegmentationModel, image: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        predict(channel_model, image)


def test_wrong_options_are_refused(channel_model: SegmentationModel) -> None:
    image = noise(40, 40)
    with pytest.raises(ValueError, match="tile is 8"):
        predict(channel_model, image, tile=8)
    with pytest.raises(ValueError, match=r"overlap is 0\.9"):
        predict(channel_model, image, overlap=0.9)
    with pytest.raises(ValueError, match="training mode"):
        predict(channel_model.train(), image)


def test_files_are_read_as_arrays_are(channel_model: SegmentationModel, tmp_path: Path) -> None:
    image = noise(20, 30)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    assert (read_image(tmp_path / "a.png") == image).all()
    from_file = predict(channel_model, tmp_path / "a.png").mask
    assert (from_file == predict(channel_model, image).mask).all()


def test_missing_and_damaged_files_are_named(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        predict(channel_model, tmp_path / "none.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"bad\.png is damaged"):
        predict(channel_model, tmp_path / "bad.png")


def test_real_network_in_tiles_agrees_with_itself_whole() -> None:
    info = ModelInfo(arch="fc56", class_names=("a", "b"), colors=((0, 0, 0), (9, 9, 9)))
    torch.manual_seed(0)
    model = SegmentationModel.build(info).eval()
    image = cv2.GaussianBlur(noise(64, 128), (0, 0), 4)
    whole = predict_probabilities(model, image, tile=None)
    tiled = predict_probabilities(model, image, tile=64, overlap=0.5)
    assert whole.shape == tiled.shape == (2, 64, 128)
    assert (whole - tiled).abs().mean() < 0.003


def test_logits_that_are_no_numbers_are_an_error(make_model: MakeModel) -> None:
    model = make_model()
    model.network[0].weight.data *= 1e38  # finite, but what it computes is not
    model.network[2].weight.data *= 1e38
    with pytest.raises(ValueError, match=r"the model \(tiny\) gives NaN or infinity"):
        predict(model, noise(40, 52))


def test_a_prediction_shows_itself(channel_model: SegmentationModel) -> None:
    image = np.zeros((30, 2000, 3), np.uint8)
    image[:, :500, 0] = image[:, 500:, 2] = 255
    prediction = predict(channel_model, image)
    assert repr(prediction) == "<Prediction 30x2000: road 75.0 %, sky 25.0 %>"
    assert prediction.preview is not None
    assert prediction.preview.shape == (10, 640, 3)
    for shown in (prediction, dataclasses.replace(prediction, preview=None)):
        html = shown._repr_html_()
        assert html.startswith('<img src="data:image/webp;base64,')
        assert 'alt="&lt;Prediction' in html
        content = base64.b64decode(html.split(",")[1].split('"')[0])
        picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
        assert picture.shape[1] == 640
        assert picture.shape[0] > 10  # with a legend below
    colors = np.array(prediction.colors)
    assert np.abs(picture[4, 20] - colors[0]).max() < 12
    assert np.abs(picture[4, -20] - colors[2]).max() < 12
