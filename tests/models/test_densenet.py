import pytest
import torch
import torchvision
from torch import nn

from tiramisu.models import (
    DenseNet,
    densenet40_12,
    densenet100_12,
    densenet100_24,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
    densenet264,
    densenet_bc40_12,
    densenet_bc100_12,
    densenet_bc190_40,
    densenet_bc250_24,
)


def tiny(**change) -> DenseNet:
    arguments = {"growth_rate": 4, "block_config": (1, 2, 1, 1), "stem_width": 8, "num_classes": 5}
    return DenseNet(**(arguments | change))


@pytest.mark.parametrize(
    ("build", "parameters"),
    [
        (densenet121, 7_978_856),
        (densenet161, 28_681_000),
        (densenet169, 14_149_480),
        (densenet201, 20_013_928),
        (densenet264, 33_337_704),
        (densenet40_12, 1_019_722),
        (densenet100_12, 6_979_642),
        (densenet100_24, 27_249_082),
        (densenet_bc40_12, 176_122),
        (densenet_bc100_12, 769_162),
        (densenet_bc250_24, 15_324_406),
        (densenet_bc190_40, 25_624_430),
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
    with pytest.raises(ValueError, match=r"28x29 pixels; expected at least 29x29.*pad or enlarge"):
        network(torch.rand(1, 3, 28, 29))
    # Two blocks pool once less than three: the limit follows.
    assert tiny(block_config=(1, 1)).eval()(torch.rand(1, 3, 5, 5)).shape == (1, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 0}, "num_classes is 0"),
        ({"in_channels": -1}, "in_channels is -1"),
        ({"growth_rate": 0}, "growth_rate is 0"),
        ({"stem_width": 0}, "stem_width is 0"),
        ({"block_config": ()}, r"block_config is \(\)"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"bottleneck": 0}, "bottleneck is 0"),
        ({"bottleneck": True}, "bottleneck is True; expected a whole number, 1 to 65536"),
        ({"compression": 0.0}, "compression is 0.0; expected above 0 and at most 1"),
        ({"activation": "gelu"}, "activation is 'gelu'; expected one of 'relu', 'prelu', 'silu'"),
        ({"stem": "mnist"}, "stem is 'mnist'; expected one of 'imagenet', 'cifar', 'face'"),
        ({"head": "conv"}, "head is 'conv'; expected one of 'linear', 'mlp', 'embedding', None"),
        ({"dims": 4}, "dims is 4; expected one of 2, 3"),
    ],
)
def test_refuses_arguments_no_network_has(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**change)


def test_the_face_embedding_has_as_many_parameters_as_insightfaces() -> None:
    with torch.device("meta"):
        network = densenet121(stem="face", head="embedding", num_classes=512)
    assert sum(p.numel() for p in network.parameters()) == 7_474_048


@pytest.mark.parametrize(
    ("stem", "size", "last"), [("imagenet", 64, 2), ("cifar", 64, 8), ("face", 64, 4)]
)
def test_stems_divide_the_image(stem: str, size: int, last: int) -> None:
    network = tiny(stem=stem).eval()
    images = torch.rand(2, 3, size, size)
    assert network.features(images).shape[2:] == (last, last)
    assert network(images).shape == (2, 5)
    smallest = network.min_size
    assert network(torch.rand(1, 3, smallest, smallest)).shape == (1, 5)
    with pytest.raises(ValueError, match=f"expected at least {smallest}x{smallest}"):
        network(torch.rand(1, 3, smallest, smallest - 1))
    # That limit is the network's own: a pixel less, and a pooling has nothing left.
    with pytest.raises(RuntimeError, match=r"[Oo]utput size is too small"):
        network.features(torch.rand(1, 3, smallest - 1, smallest - 1))


def test_heads() -> None:
    images = torch.rand(4, 3, 40, 40)
    features = tiny(head=None)
    assert isinstance(features.classifier, nn.Identity)
    assert features(images).shape == (4, features.num_features)
    assert features.num_classes == features.num_features

    mlp = tiny(head="mlp", num_classes=7)
    assert mlp(images).shape == (4, 7)
    assert [m.out_features for m in mlp.modules() if isinstance(m, nn.Linear)] == [
        mlp.num_features // 2,
        7,
    ]

    embedding = tiny(head="embedding", num_classes=6)(images)
    # Its last layer normalises each of the six numbers over the batch.
    torch.testing.assert_close(embedding.mean(dim=0), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(embedding.var(dim=0, correction=0), torch.ones(6), atol=0.1, rtol=0)


def test_any_head_can_be_replaced() -> None:
    network = tiny(head="embedding")
    network.classifier = nn.Linear(network.num_features, 9)
    assert network(torch.rand(2, 3, 40, 40)).shape == (2, 9)


@pytest.mark.parametrize(
    ("name", "kind"), [("relu", nn.ReLU), ("prelu", nn.PReLU), ("silu", nn.SiLU)]
)
def test_activations(name: str, kind: type[nn.Module]) -> None:
    network = tiny(activation=name)
    kinds = {
        type(m) for m in network.modules() if isinstance(m, nn.ReLU | nn.PReLU | nn.SiLU | nn.ELU)
    }
    assert kinds == {kind}
    network(torch.rand(2, 3, 40, 40)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_prelu_with_slope_zero_is_relu() -> None:
    relu, prelu = tiny(), tiny(activation="prelu")
    missing = prelu.load_state_dict(relu.state_dict(), strict=False).missing_keys
    assert missing
    assert all("relu" in name for name in missing)
    for module in prelu.modules():
        if isinstance(module, nn.PReLU):
            nn.init.zeros_(module.weight)
    images = torch.rand(2, 3, 40, 40)
    torch.testing.assert_close(prelu.eval()(images), relu.eval()(images))
