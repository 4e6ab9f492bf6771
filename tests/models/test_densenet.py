import pytest
import torch
import torchvision
from torch import nn

from tiramisu.models import (
    DenseNet,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
    densenet264,
)


def tiny(**change) -> DenseNet:
    arguments = {"growth_rate": 4, "blocks": (1, 2, 1, 1), "stem_width": 8, "num_classes": 5}
    return DenseNet(**(arguments | change))


@pytest.mark.parametrize(
    ("build", "parameters"),
    [
        (densenet121, 7_978_856),
        (densenet161, 28_681_000),
        (densenet169, 14_149_480),
        (densenet201, 20_013_928),
        (densenet264, 33_337_704),
    ],
)
def test_parameter_counts(build, parameters: int) -> None:
    with torch.device("meta"):
        network = build()
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (densenet121, "densenet121"),
        (densenet161, "densenet161"),
        (densenet169, "densenet169"),
        (densenet201, "densenet201"),
    ],
)
def test_takes_torchvisions_weights(build, name: str) -> None:
    # Built without storage, then filled: much faster than two random initialisations.
    with torch.device("meta"):
        theirs, ours = torchvision.models.get_model(name, weights=None), build()
    theirs = theirs.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    for key, value in theirs.state_dict().items():
        if "norm" in key and value.is_floating_point():
            low = -0.2 if key.endswith(("bias", "running_mean")) else 0.5
            value.uniform_(low, low + 0.7, generator=generator)
        elif value.is_floating_point():
            fan_in = value[0].numel()
            value.uniform_(-((3 / fan_in) ** 0.5), (3 / fan_in) ** 0.5, generator=generator)
        else:
            value.zero_()
    ours.load_state_dict(theirs.state_dict(), strict=True, assign=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())

    images = torch.rand(2, 3, 64, 64, generator=generator)
    with torch.no_grad():
        expected = theirs(images)
        assert expected.std() > 1e-3
        torch.testing.assert_close(ours.eval()(images), expected, rtol=1e-4, atol=1e-5)


def test_gradients_equal_torchvisions() -> None:
    ours = tiny().double()
    theirs = torchvision.models.DenseNet(
        growth_rate=4, block_config=(1, 2, 1, 1), num_init_features=8, num_classes=5
    ).double()
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(3, 3, 33, 47, dtype=torch.double)
    for network in (ours, theirs):
        nn.functional.cross_entropy(network(images), torch.tensor([0, 4, 2])).backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad)


def test_starts_as_torchvisions_does() -> None:
    network = densenet121(num_classes=3)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            he = (2 / module.weight[0].numel()) ** 0.5
            assert module.weight.std().item() == pytest.approx(he, rel=0.1)
            assert module.weight.abs().max() > 2.5 * he  # normal: a uniform one ends at 1.7
        if isinstance(module, nn.BatchNorm2d):
            assert module.eps == 1e-5
            assert torch.equal(module.weight, torch.ones_like(module.weight))
            assert not module.bias.any()
    assert not network.classifier.bias.any()


def test_dropout_is_off_unless_asked_for() -> None:
    assert {m.p for m in tiny().modules() if isinstance(m, nn.Dropout)} == {0.0}
    network = tiny(dropout=0.5)
    images = torch.rand(2, 3, 40, 40)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_the_smallest_image() -> None:
    network = tiny().eval()
    assert network(torch.rand(1, 3, 29, 29)).shape == (1, 5)
    with pytest.raises(ValueError, match=r"28x29 pixels, expected at least 29x29.*pad or enlarge"):
        network(torch.rand(1, 3, 28, 29))
    # Two blocks pool once less than three: the limit follows.
    assert tiny(blocks=(1, 1)).eval()(torch.rand(1, 3, 5, 5)).shape == (1, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 0}, "num_classes is 0"),
        ({"in_channels": -1}, "in_channels is -1"),
        ({"growth_rate": 0}, "growth_rate is 0"),
        ({"stem_width": 0}, "stem_width is 0"),
        ({"blocks": ()}, r"blocks is \(\)"),
        ({"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_refuses_arguments_no_network_has(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**change)
