"""Predictions by random dropout: what they say, and the files they leave."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.inference.config import PredictConfig
from tiramisu.inference.files import predict_files
from tiramisu.inference.predict import predict
from tiramisu.inference.uncertainty import predict_uncertainty
from tiramisu.visual.heat import heat_map

Make = Callable[..., SegmentationModel]


@pytest.fixture
def model(make_model: Make) -> SegmentationModel:
    """On the left it is always sure of class 0; on the right dropout changes its mind."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(3, 3, 1, bias=False))
    network[1].weight.data = 5 * torch.eye(3)[..., None, None]
    return make_model(network)


@pytest.fixture
def image() -> np.ndarray:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 30:, :] = (255, 250, 0)
    return image


def config_for(out: Path) -> PredictConfig:
    return PredictConfig(checkpoint="x", out=str(out), uncertainty=True, mc_dropout=5)


def test_passes_disagree_where_dropout_matters(model, image) -> None:
    prediction = predict_uncertainty(model, image, passes=40)
    assert prediction.mask.shape == prediction.entropy.shape == (40, 60)
    # Black is 0 whatever is dropped: no pass differs, and each is in full doubt.
    assert prediction.entropy[:, :30] == pytest.approx(math.log(3), abs=1e-5)
    assert prediction.mutual_information[:, :30] == pytest.approx(0, abs=1e-5)
    assert prediction.mutual_information[:, 30:].mean() > 0.2
    assert (prediction.mutual_information <= prediction.entropy + 1e-6).all()
    assert (prediction.confidence <= 1).all()
    again = predict_uncertainty(model, image, passes=40)
    assert np.array_equal(prediction.entropy, again.entropy)
    other = predict_uncertainty(model, image, passes=40, seed=1)
    assert not np.array_equal(prediction.entropy, other.entropy)
    # A usual prediction afterwards is as before.
    assert predict(model, image).confidence[0, 59] == pytest.approx(
        predict(model, image).confidence[0, 58]
    )


def test_tiles_give_every_pixel_its_uncertainty(model, image) -> None:
    prediction = predict_uncertainty(model, image, passes=20, tile=32)
    assert prediction.mutual_information[:, :30] == pytest.approx(0, abs=1e-5)
    assert prediction.mutual_information[:, 30:].mean() > 0.2


class SizeLimited(nn.Module):
    """Runs out of memory beyond a number of pixels, in every pass but the first."""

    def __init__(self, network: nn.Module, *, limit: int) -> None:
        super().__init__()
        self.network = network
        self.limit = limit
        self.calls = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if images.shape[-2] * images.shape[-1] > self.limit and self.calls > 1:
            raise torch.OutOfMemoryError("out of memory")
        return self.network(images)


def test_all_passes_have_the_same_tiles_when_memory_runs_out(make_model: Make, image) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Dropout2d(0.5), nn.Conv2d(8, 3, 1))
    large = np.tile(image, (8, 6, 1))  # 320 x 360
    limited = make_model(SizeLimited(network, limit=180**2))
    prediction = predict_uncertainty(limited, large, passes=3)
    expected = predict_uncertainty(make_model(network), large, passes=3, tile=180)
    assert np.array_equal(prediction.entropy, expected.entropy)
    assert np.array_equal(prediction.mutual_information, expected.mutual_information)


def test_what_cannot_be_asked(make_model: Make, model, image) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        predict_uncertainty(model, image, passes=1)
    with pytest.raises(ValueError, match="without dropout"):
        predict_uncertainty(make_model(), image)
    with pytest.raises(ValueError, match="one of them"):
        PredictConfig(checkpoint="run", tta=True, uncertainty=True)
    with pytest.raises(ValueError, match="give both"):
        PredictConfig(checkpoint="run", mc_dropout=20)
    with pytest.raises(ValueError, match="--mc-dropout is 1"):
        PredictConfig(checkpoint="run", uncertainty=True, mc_dropout=1)


def test_files(model, image, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    written = predict_files(model, [tmp_path / "a.png"], config=config_for(tmp_path / "out"))
    names = ["a_mask.png", "a_overlay.png", "a_entropy.png", "a_mutual_information.png", "a.json"]
    assert [path.name for path in written] == [*names, "shares.csv"]
    described = json.loads((tmp_path / "out/a.json").read_text())
    assert described["mean_entropy"] >= described["mean_mutual_information"] > 0
    entropy = cv2.imread(str(tmp_path / "out/a_entropy.png"))[..., ::-1]
    assert entropy.shape[0] > 40  # the scale below
    # Full doubt is the brightest colour there is.
    brightest = heat_map(np.ones((1, 1), np.float32), highest=1.0)[0, 0]
    assert entropy[20, 10].tolist() == brightest.tolist()


def test_files_take_the_tile(make_model: Make, image, tmp_path: Path) -> None:
    network = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(3, 3, 1))
    cv2.imwrite(str(tmp_path / "a.png"), np.tile(image, (2, 2, 1)))  # 80 x 120
    config = dataclasses.replace(config_for(tmp_path / "out"), tile=64)
    limited = make_model(SizeLimited(network, limit=64**2))
    assert len(predict_files(limited, [tmp_path / "a.png"], config=config)) == 6


def test_files_are_refused_before_any_work(make_model: Make, model, image, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), image)
    (tmp_path / "b.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match=r"b\.mp4 is a video"):
        predict_files(model, [tmp_path], config=config_for(tmp_path / "out"))
    with pytest.raises(ValueError, match="without dropout"):
        predict_files(make_model(), [tmp_path / "a.png"], config=config_for(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
