"""Names of contenders, and the steps that they run."""

from pathlib import Path

import pytest
import torch
from torch.nn import BatchNorm2d, Conv2d
from torch.nn.functional import cross_entropy
from torch.optim import SGD

from tiramisu.benchmark.contenders import Case, check_contender, default_contenders
from tiramisu.benchmark.steps import (
    build_network,
    count_multiply_adds,
    draw_images,
    load_contender,
    make_training_step,
)
from tiramisu.models import build_model
from tiramisu.summary.tables import summarize


def make_case(**values: object) -> Case:
    settings = {"arch": "fc56", "mode": "infer", "batch": 1, "height": 32, "width": 48}
    return Case(**{**settings, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["theirs", "ours+fast", "ours+compile+compile", ""])
def test_an_unknown_contender_is_refused_with_the_list(name: str) -> None:
    with pytest.raises(ValueError, match=r"ours, plain, torchvision, smp:.*compile.*onnx") as error:
        check_contender(name, make_case())
    assert repr(name) in str(error.value)


@pytest.mark.parametrize(
    ("name", "arch", "mode", "precision"),
    [
        ("smp:unet", "fc56", "infer", "fp32"),
        ("smp:net/resnet34", "fc56", "infer", "fp32"),
        ("plain", "densenet121", "infer", "fp32"),
        ("torchvision", "fc56", "infer", "fp32"),
        ("torchvision", "densenet264", "infer", "fp32"),
        ("smp:unet/resnet34", "densenet121", "infer", "fp32"),
        ("plain+memory_efficient", "fc56", "train", "fp32"),
        ("plain+onnx", "fc56", "infer", "fp32"),
        ("ours+compile+onnx", "fc56", "infer", "fp32"),
        ("ours+onnx", "fc56", "train", "fp32"),
        ("ours+onnx", "fc56", "infer", "bf16"),
        ("ours+openvino", "densenet121", "infer", "fp32"),
    ],
)
def test_what_can_never_run_is_refused(name: str, arch: str, mode: str, precision: str) -> None:
    with pytest.raises(ValueError, match=name.split("+")[0]):
        check_contender(name, make_case(arch=arch, mode=mode, precision=precision))


@pytest.mark.parametrize(
    ("arch", "mode", "first"),
    [
        ("fc56", "infer", "plain"),
        ("fc56", "train", "plain"),
        ("densenet121", "infer", "torchvision"),
        ("densenet264", "infer", "ours"),
    ],
)
def test_default_contenders_begin_with_the_reference(arch: str, mode: str, first: str) -> None:
    case = make_case(arch=arch, mode=mode)
    names = default_contenders(case)
    assert names[0] == first
    assert "ours" in names
    assert ("ours+openvino" in names) == (arch == "fc56" and mode == "infer")
    for name in names:
        check_contender(name, case)


@pytest.mark.parametrize(("arch", "reference"), [("fc56", "plain"), ("densenet121", "torchvision")])
def test_the_same_weights_give_the_same_logits(arch: str, reference: str, tmp_path: Path) -> None:
    case = make_case(arch=arch, batch=2, height=64, width=64)
    ours, other = (load_contender(n, case, folder=tmp_path)[1]() for n in ("ours", reference))
    assert ours.std() > 0.1  # two outputs of zeros would be equal too
    assert (ours - other).abs().max() < 1e-4


def test_another_library_s_network_takes_any_size(tmp_path: Path) -> None:
    check_contender("smp:unet/resnet18", make_case())
    _, infer = load_contender("smp:unet/resnet18", make_case(height=33, width=50), folder=tmp_path)
    assert infer().shape == (1, 11, 33, 50)


def test_precision_is_that_of_the_computation(tmp_path: Path) -> None:
    _, infer = load_contender("ours", make_case(precision="bf16"), folder=tmp_path)
    assert infer().dtype == torch.bfloat16


def test_batch_norm_changes_its_input() -> None:
    norms = [m for m in build_network("ours", make_case()).modules() if isinstance(m, BatchNorm2d)]
    assert all(norm.weight.std() > 0.1 and norm.running_mean.std() > 0 for norm in norms)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_step_learns(precision: str) -> None:
    case = make_case(mode="train", precision=precision)
    network = Conv2d(3, 2, 1)
    optimizer = SGD(network.parameters(), lr=1.0)
    step = make_training_step(network, cross_entropy, optimizer, case)
    images, labels = torch.rand(1, 3, 4, 4), torch.ones(1, 4, 4, dtype=torch.long)
    before = cross_entropy(network(images), labels).item()
    step(images, labels)
    gradient = network.bias.grad.clone()
    assert cross_entropy(network(images), labels).item() < before
    step(images, labels)
    assert network.bias.grad.norm() < gradient.norm()  # gradients are not added up


def test_logits_before_training_are_without_dropout(tmp_path: Path) -> None:
    case = make_case(mode="train", height=64, width=64)
    step, infer = load_contender("plain", case, folder=tmp_path)
    assert torch.equal(infer(), infer())
    step()


def test_work_is_counted_without_doing_it() -> None:
    whole = summarize(build_model("fc56", num_classes=11), height=320, width=480)
    case = make_case(batch=2, height=320, width=480)
    assert count_multiply_adds("plain", case) == 2 * whole.multiply_adds
    assert count_multiply_adds("ours+onnx", case) == 2 * whole.multiply_adds
    # Both gradients of every convolution, but none of the images.
    training = count_multiply_adds("ours", make_case(mode="train", height=320, width=480))
    assert 2.9 * whole.multiply_adds < training < 3 * whole.multiply_adds


def test_images_are_drawn_scenes() -> None:
    images = draw_images(make_case(batch=2))
    assert images.shape == (2, 3, 32, 48)
    assert images.dtype == torch.uint8
    assert (images[0] != images[1]).any()
