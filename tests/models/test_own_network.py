"""A network of one's own: found by its name, tried when it is built, and given any size."""

from typing import Any

import pytest
import tiny_parts
import torch
from torch import Tensor, nn

from tiramisu.models import build_model, task_of
from tiramisu.models.own_network import OwnNetwork, build_own
from tiramisu.models.zoo import is_own_network

SIZES = ((64, 64), (8, 8), (1, 1), (67, 93), (130, 7))


@pytest.mark.parametrize(
    ("name", "task", "stride", "min_size"),
    [
        ("TinyNet", "segmentation", 8, 1),
        ("tiny_net", "segmentation", 8, 1),
        ("Pooled", "segmentation", 1, 32),
        ("Classifier", "classification", 1, 1),
    ],
)
def test_what_a_network_takes(name: str, task: str, stride: int, min_size: int) -> None:
    network = build_model(f"tiny_parts:{name}", num_classes=4)
    assert isinstance(network, OwnNetwork)
    assert (network.task, network.stride, network.min_size) == (task, stride, min_size)
    assert task_of(f"tiny_parts:{name}") is None


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size(size: tuple[int, int]) -> None:
    network = build_model("tiny_parts:TinyNet", num_classes=4, in_channels=2).eval()
    images = torch.rand(2, 2, *size)
    logits = network(images)
    assert logits.shape == (2, 4, *size)
    if size[0] % 8 == size[1] % 8 == 0:
        assert torch.equal(logits, network.network(images))
    with pytest.raises(ValueError, match="expected at least 32x32"):
        build_model("tiny_parts:Pooled", num_classes=2)(torch.rand(1, 3, 31, 31))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "Small",
            r"logits \(1, 4, 16, 16\) for one image of 64x64.*expected \(1, 4, 64, 64\): enlar",
        ),
        ("OneClass", r"logits \(1, 1, 64, 64\).*expected \(1, 4, 64, 64\): its last convolution"),
        ("Pair", "returns an object of tuple; expected one tensor"),
        ("PairInTraining", "returns an object of tuple; expected one tensor"),
        ("Broken", r"fails on images \(1, 3, 64, 64\): .*tiny_parts\.py, line \d+: AttributeError"),
        ("FixedSize", "takes images of 128x128 pixels, but not of other sizes"),
        ("without_annotation", "is the function without_annotation; expected .* -> nn.Module"),
        ("TinyLoss", "the class TinyLoss has no parameter num_classes"),
        ("turns", "is an object of Compose; expected a class that derives from nn.Module"),
        ("TinyNett", "has no TinyNett; did you mean TinyNet?"),
    ],
)
def test_wrong_networks(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        build_model(f"tiny_parts:{name}", num_classes=4)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["os:system", "os:getcwd", "builtins:exec", "shutil:rmtree"])
def test_other_functions_are_not_called(name: str) -> None:
    with pytest.raises(ValueError, match=f"--arch {name} is the function .*; expected a class"):
        build_model(name, num_classes=4)


def test_options_reach_the_network() -> None:
    network = build_model("tiny_parts:TinyNet", num_classes=4, dropout=0.25)
    assert network.get_submodule("network.drop").p == 0.25
    with pytest.raises(ValueError, match=r"has no dropout=0\.1: leave it out, or add a param"):
        build_model("tiny_parts:tiny_net", num_classes=4, dropout=0.1)
    with pytest.raises(ValueError, match="has no memory_efficient=True"):
        build_model("tiny_parts:TinyNet", num_classes=4, memory_efficient=True)
    with pytest.raises(ValueError, match="no public weights 'DEFAULT'"):
        build_model("tiny_parts:TinyNet", num_classes=4, weights="DEFAULT")


def test_a_trial_leaves_no_traces() -> None:
    torch.manual_seed(3)
    expected = tiny_parts.TinyNet(4, 3)
    after = torch.rand(1)
    torch.manual_seed(3)
    network = build_model("tiny_parts:TinyNet", num_classes=4)
    assert torch.equal(torch.rand(1), after)
    for name, value in expected.state_dict().items():
        assert torch.equal(network.state_dict()[f"network.{name}"], value), name
    assert network.training


@pytest.mark.parametrize(
    "builder",
    [
        tiny_parts.TinyNet,
        lambda num_classes, in_channels: tiny_parts.TinyNet(num_classes, in_channels),
        lambda **options: tiny_parts.TinyNet(**options),
    ],
)
def test_given_in_python(builder: Any) -> None:
    network = build_own("m:f.<locals>.X", num_classes=2, in_channels=5, builder=builder)
    assert network(torch.rand(1, 5, 9, 9)).shape == (1, 2, 9, 9)


def test_wrong_things_given_in_python() -> None:
    for given, message in (
        (tiny_parts.TinyNet(2, 3), "is an object of TinyNet; expected its class"),
        (7, "is an object of int; expected its class"),
        (lambda num_classes: 3, "returned an object of int; expected an nn.Module"),
    ):
        with pytest.raises(ValueError, match=message):
            build_own("m:X", num_classes=2, builder=given)


def test_a_known_prefix_comes_first() -> None:
    for name in ("smp:unet/resnet18", "unet:densenet121", "unet:UNet", "fpn:x", "smp:x"):
        assert not is_own_network(name)
    for name in ("nets:TinyNet", "my.nets:densenet", "tiny_parts:densenet121"):
        assert is_own_network(name)
    with pytest.raises(ValueError, match="unknown encoder 'UNet'"):
        build_model("unet:UNet", num_classes=2)


def test_freezing() -> None:
    network = build_model("tiny_parts:TinyNet", num_classes=2).freeze("network.norm").train()
    network(torch.rand(2, 3, 16, 16))
    norm = network.get_submodule("network.norm")
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.num_batches_tracked == 0


def test_on_other_devices_and_types() -> None:
    network = build_model("tiny_parts:TinyNet", num_classes=2, device="meta")
    assert network(torch.empty(1, 3, 9, 9, device="meta")).shape == (1, 2, 9, 9)
    double = build_model("tiny_parts:TinyNet", num_classes=2, dtype=torch.float64)
    result: Tensor = double(torch.rand(1, 3, 16, 16, dtype=torch.float64))
    assert result.dtype == torch.float64
