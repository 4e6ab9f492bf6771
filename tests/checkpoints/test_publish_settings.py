"""Every setting of `tiramisu publish` changes what it names: a test for each field."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from setting_tests import missing_tests

from tiramisu.checkpoints.checkpoint import load_model, save_model
from tiramisu.checkpoints.config import PublishConfig
from tiramisu.checkpoints.model import ImageModel, SegmentationModel
from tiramisu.checkpoints.publish import publish_checkpoint

Publish = Callable[..., None]


def test_every_field_has_its_test() -> None:
    assert missing_tests(PublishConfig, globals()) == []


@pytest.fixture
def publish(model: SegmentationModel, tmp_path: Path) -> Publish:
    save_model(model, tmp_path / "run")
    base = {"checkpoint": str(tmp_path / "run"), "out": str(tmp_path / "out")}
    return lambda **changes: publish_checkpoint(PublishConfig(**{**base, **changes}))


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """Names under which models were uploaded, and whether in private."""
    names: list[tuple[str, object]] = []

    def push(model: ImageModel, repo_id: str, **options: object) -> str:
        names.append((repo_id, options["private"]))
        return "https://example.org"

    monkeypatch.setattr(ImageModel, "push_to_hub", push)
    return names


def test_checkpoint(publish: Publish, model: SegmentationModel, tmp_path: Path) -> None:
    publish()
    published = load_model(tmp_path / "out").network.state_dict()
    for name, value in model.network.state_dict().items():
        assert torch.equal(published[name], value), name


def test_out(publish: Publish, tmp_path: Path) -> None:
    publish(out=str(tmp_path / "here"))
    names = {path.name for path in (tmp_path / "here").iterdir()}
    assert {"model.safetensors", "config.json", "README.md"} <= names


def test_push(publish: Publish, pushed: list, tmp_path: Path) -> None:
    publish(push="ada/streets", out=None)
    assert pushed == [("ada/streets", False)]
    assert not (tmp_path / "out").exists()
    publish()
    assert len(pushed) == 1


def test_private(publish: Publish, pushed: list) -> None:
    publish(push="ada/streets", private=True)
    assert pushed == [("ada/streets", True)]


def test_half(publish: Publish, tmp_path: Path) -> None:
    for half, expected in ((False, torch.float32), (True, torch.float16)):
        publish(half=half, out=str(tmp_path / str(half)))
        weights = load_file(tmp_path / str(half) / "model.safetensors")
        assert weights["classifier.weight"].dtype == expected
        norm = "features.denseblock1.denselayer1.norm1"
        assert weights[f"{norm}.weight"].dtype == torch.float32
        assert weights[f"{norm}.running_var"].dtype == torch.float32


def test_overwrite(publish: Publish) -> None:
    publish()
    with pytest.raises(ValueError, match="--overwrite"):
        publish()
    publish(overwrite=True)
