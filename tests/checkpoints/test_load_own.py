"""A network of one's own is found again, or the error says what is missing; no other code runs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_parts
import torch
from torch import nn

from tiramisu.checkpoints.checkpoint import load_model, save_model
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import ClassificationModel, ImageModel, SegmentationModel
from tiramisu.models.own_network import build_own

NAMES = ("a", "b", "c")


def build(arch: str = "tiny_parts:TinyNet", network: object = None) -> ImageModel:
    info = ModelInfo(arch=arch, class_names=NAMES, colors=((0, 0, 0),) * 3)
    return SegmentationModel.build(info, network=network).eval()


def rename(folder: Path, arch: str) -> Path:
    """The folder after its model.json names another network."""
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "arch": arch}))
    return folder


def test_found_again_by_its_name(tmp_path: Path) -> None:
    model = build()
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert type(loaded.network.network) is tiny_parts.TinyNet
    images = torch.randint(0, 256, (1, 3, 41, 30))
    assert torch.equal(loaded(images), model(images))


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("os:system", "the function system; expected a class that derives from nn.Module"),
        ("tiny_parts:without_annotation", "the function without_annotation; expected"),
        ("tiny_parts:turns", "an object of Compose; expected"),
        ("tiny_parts:Gone", "has no Gone"),
        ("no_such_module:Net", "there is no module no_such_module"),
        ("__main__:f.<locals>.Net", "made inside a function"),
    ],
)
def test_what_is_missing(tmp_path: Path, arch: str, message: str) -> None:
    save_model(build(), tmp_path)
    rename(tmp_path, arch)
    expected = (
        rf"model\.safetensors needs the network {arch} \(--arch {arch}.*{message}.*\); in Pyth"
    )
    with pytest.raises(ValueError, match=expected) as error:
        load_model(tmp_path)
    assert "\n" not in str(error.value)
    loaded = load_model(tmp_path, network=tiny_parts.TinyNet)
    assert type(loaded.network.network) is tiny_parts.TinyNet


def test_nothing_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(build(), tmp_path)
    called: list[object] = []
    monkeypatch.setattr("os.system", called.append)
    with pytest.raises(ValueError, match="expected a class"):
        load_model(rename(tmp_path, "os:system"))
    assert called == []


def test_a_module_in_the_folder_of_the_model_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path, tmp_path / "checkpoints"):
        save_model(build(), folder)
    ran = tmp_path / "ran"
    (tmp_path / "own_trap.py").write_text(f"open({str(ran)!r}, 'w').close()")
    model = load_model(tmp_path)
    model.info = ModelInfo(arch="own_trap:Net", class_names=NAMES, colors=((0, 0, 0),) * 3)
    state = {f"model.network.{name}": v for name, v in model.network.state_dict().items()}
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    torch.save({"state_dict": state, "model_info": vars(model.info)}, checkpoint)
    rename(tmp_path, "own_trap:Net")
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path, ".", checkpoint):
        with pytest.raises(ValueError, match=r"own_trap lies in .*, beside the model"):
            load_model(path)
    assert not ran.exists()


def test_network_is_for_those_of_ones_own(tmp_path: Path) -> None:
    save_model(build("fc56"), tmp_path)
    with pytest.raises(ValueError, match="fc56 is no network of one's own: leave network out"):
        load_model(tmp_path, network=tiny_parts.TinyNet)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    class Wider(nn.Module):
        def __init__(self, num_classes: int, in_channels: int) -> None:
            super().__init__()
            self.down = nn.Conv2d(in_channels, num_classes, 1)
            self.forward = self.down.forward

    save_model(build(), tmp_path)
    with pytest.raises(ValueError, match="does not fit the network"):
        load_model(tmp_path, network=Wider)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (
            SegmentationModel,
            "Classifier",
            r"logits \(B, C\); expected \(B, C, H, W\), of each pixel",
        ),
        (
            ClassificationModel,
            "TinyNet",
            r"logits \(B, C, H, W\), .*; expected \(B, C\), for class",
        ),
    ],
)
def test_the_task_must_be_that_of_the_network(
    kind: type[ImageModel], name: str, message: str
) -> None:
    info = ModelInfo(
        arch=f"tiny_parts:{name}", class_names=NAMES, colors=((0, 0, 0),) * 3, task=kind.task
    )
    with pytest.raises(ValueError, match=message):
        kind.build(info)


def test_a_function_given_in_python(tmp_path: Path) -> None:
    make: Callable[..., nn.Module] = lambda num_classes: tiny_parts.TinyNet(num_classes, 3)  # noqa: E731
    save_model(build("m:f.<locals>.<lambda>", make), tmp_path)
    with pytest.raises(ValueError, match=r"needs the network m:f\.<locals>\.<lambda>"):
        load_model(tmp_path)
    assert load_model(tmp_path, network=make).info.arch == "m:f.<locals>.<lambda>"
    assert build_own("m:X", num_classes=3, builder=make).num_classes == 3
