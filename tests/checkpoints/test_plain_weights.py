"""Files with weights alone: read without running code, and loaded where they fit."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_parts
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import densenet121, resnet18

from tiramisu.checkpoints.info import write_info
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.checkpoints.plain_weights import is_plain, load_plain, read_plain
from tiramisu.models import build_model

State = dict[str, Tensor]


def tiny_state(num_classes: int = 3, in_channels: int = 3) -> State:
    return tiny_parts.TinyNet(num_classes, in_channels).state_dict()


def build_tiny() -> nn.Module:
    return build_model("tiny_parts:TinyNet", num_classes=3)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"lr": 1.0}},
        lambda state: {"model_state_dict": state},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
        lambda state: {"state_dict": {f"model.module.{n}": v for n, v in state.items()}},
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".pth.tar", ".ckpt"])
def test_all_layers_fit(wrap: Callable[[State], object], suffix: str, tmp_path: Path) -> None:
    state, path = tiny_state(), tmp_path / f"weights{suffix}"
    torch.save(wrap(state), path)
    assert is_plain(path)
    network = build_tiny()
    assert load_plain(network, path) == "all 3 layers loaded"
    for name, value in state.items():
        assert torch.equal(network.state_dict()[f"network.{name}"], value)


def test_safetensors_with_and_without_a_description(
    tmp_path: Path, model: SegmentationModel
) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(tiny_state(), path)
    assert is_plain(path)
    assert load_plain(build_tiny(), path) == "all 3 layers loaded"
    write_info(model.info, tmp_path)
    assert not is_plain(path)
    assert not is_plain(tmp_path)
    assert not is_plain(tmp_path / "none.pth")


def test_old_names_of_torchvision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    new = densenet121(weights=None).state_dict()
    shift = re.compile(r"(denselayer\d+)\.(norm|conv)([12])\.")
    old = {"module." + shift.sub(r"\1.\2.\3.", name): value for name, value in new.items()}
    assert any(".norm.1.weight" in name for name in old)
    torch.save(old, tmp_path / "old.pth")
    for arch, line in (
        (
            "densenet121",
            r"^241 of 242 layers loaded; random weights: classifier; not used: module\.",
        ),
        ("unet:densenet121", r"^241 of 262 layers loaded; random weights: network\.decoder"),
    ):
        network = build_model(arch, num_classes=3)
        assert re.match(line, load_plain(network, tmp_path / "old.pth"))
        (name,) = (n for n in network.state_dict() if n.endswith("denselayer9.conv2.weight")
                   and "block2" in n)  # fmt: skip
        expected = new["features.denseblock2.denselayer9.conv2.weight"]
        assert torch.equal(network.state_dict()[name], expected)


def test_other_networks(tmp_path: Path) -> None:
    fc56 = build_model("fc56", num_classes=3)
    torch.save(fc56.state_dict(), tmp_path / "fc56.pth")
    assert load_plain(build_model("fc56", num_classes=3), tmp_path / "fc56.pth") == (
        "all 105 layers loaded"
    )
    torch.save(resnet18(weights=None).state_dict(), tmp_path / "resnet.pth")
    line = load_plain(build_model("smp:unet/resnet18", num_classes=3), tmp_path / "resnet.pth")
    assert line.startswith("40 of 61 layers loaded; random weights: network.decoder")
    assert line.endswith("not used: fc")


def test_another_number_of_bands_or_classes(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    state = tiny_state(in_channels=1)
    torch.save(state, path)
    network = build_tiny()
    line = load_plain(network, path)
    assert line.startswith("2 of 3 layers loaded; adapted: network.down. An adapted layer is for")
    weight = network.get_submodule("network.down").weight
    torch.testing.assert_close(weight, state["down.weight"].expand(-1, 3, -1, -1) / 3)
    torch.save(tiny_state(num_classes=9), path)
    assert load_plain(build_tiny(), path).startswith(
        "2 of 3 layers loaded; random weights: network.up"
    )


def test_wrong_files(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    nan = tiny_state()
    nan["down.bias"][0] = float("nan")
    torch.save(tiny_state(), tmp_path / "good.pth")
    good = (tmp_path / "good.pth").read_bytes()
    damaged = bytearray(good)
    damaged[len(good) // 2] ^= 255
    cases: list[tuple[object, str]] = [
        (tiny_parts.TinyNet(3, 3), "refused: it holds objects that could run code.*state_dict"),
        ({"epoch": 1, "optimizer": {}}, "holds a dictionary of epoch, optimizer; expected a state"),
        (torch.zeros(3), "holds a tensor; expected a state dict"),
        ([1, 2], r"holds \[1, 2\]; expected a state dict"),
        (nan, "holds NaN or infinity in down.bias"),
        ({"state_dict": {"model.conv9.weight": torch.zeros(3, 3)}}, "none of the 1 layers fits"),
        (good[:-200], "damaged, truncated or no checkpoint"),
        (bytes(damaged), "damaged"),
        (b"hello", "damaged"),
        (b"", "damaged"),
    ]
    for content, message in cases:
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        with pytest.raises(ValueError, match=message) as error:
            load_plain(build_tiny(), path)
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)


def test_torchscript_is_named(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    torch.jit.script(tiny_parts.TinyNet(3, 3)).save(path)
    with pytest.raises(ValueError, match="is a program of TorchScript"):
        read_plain(path)
