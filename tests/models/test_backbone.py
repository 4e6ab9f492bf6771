import copy
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from paths import by_modules
from torch import Tensor, nn

from tiramisu.models import Backbone, DenseNet, FCDenseNet, densenet121, densenet_backbone


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks as small as these wait for their threads longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny(**change) -> DenseNet:
    arguments = {"growth_rate": 4, "block_config": (2, 1, 2), "stem_width": 8, "num_classes": 5}
    network = DenseNet(**(arguments | change))
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight, module.bias, module.running_mean):
                nn.init.normal_(value, generator=generator)
            nn.init.uniform_(module.running_var, 0.5, 2, generator=generator)
    return network


def test_channels_and_strides_of_densenet121() -> None:
    with torch.device("meta"):
        backbone = Backbone(densenet121()).eval()
        maps = backbone(torch.empty(1, 3, 96, 64))
    assert backbone.channels == (64, 256, 512, 1024, 1024)
    assert backbone.strides == (2, 4, 8, 16, 32)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (c, 96 // s, 64 // s) for c, s in zip(backbone.channels, backbone.strides, strict=True)
    ]


@pytest.mark.parametrize(
    ("stem", "strides"), [("imagenet", (2, 4, 8, 16)), ("face", (1, 2, 4, 8)), ("cifar", (1, 2, 4))]
)
@pytest.mark.parametrize("dims", [2, 3])
def test_every_stem_in_two_and_three_dimensions(stem, strides, dims) -> None:
    backbone = Backbone(tiny(stem=stem, dims=dims, in_channels=1))
    assert backbone.strides == strides
    size = (32, 48, 16)[:dims]
    for feature, channels, stride in zip(
        backbone(torch.rand(2, 1, *size)), backbone.channels, strides, strict=True
    ):
        assert feature.shape == (2, channels, *(side // stride for side in size))
        assert feature.min() == 0  # all are activated


@pytest.mark.parametrize("stem", ["imagenet", "face", "cifar"])
def test_the_smallest_image_of_each_map(stem: str) -> None:
    network = tiny(stem=stem).eval()
    for index in range(len(Backbone(network).strides)):
        backbone = Backbone(network, out_indices=[index])
        side = backbone.min_size
        (feature,) = backbone(torch.rand(1, 3, side, side))
        assert feature.shape[-2:] == (1, 1)
        if side > 1:
            with pytest.raises(ValueError, match="pad or enlarge the images"):
                backbone(torch.rand(1, 3, side - 1, side))


@pytest.mark.parametrize("training", [True, False])
def test_maps_are_what_the_network_computes(training: bool) -> None:
    network = tiny().double().train(training)
    plain = by_modules(network)
    seen: list[Tensor] = []
    for part in (
        plain.features.relu0,
        plain.features.transition1.relu,
        plain.features.transition2.relu,
        plain.pool.relu,
    ):
        part.register_forward_hook(lambda *args: seen.append(args[2].clone()))
    images = torch.rand(2, 3, 37, 42, dtype=torch.double)
    plain(images)
    maps = Backbone(network)(images)
    torch.testing.assert_close(maps, seen)
    # BN has seen each batch once.
    torch.testing.assert_close(dict(network.named_buffers()), dict(plain.named_buffers()))


def test_shares_weights_and_names_with_its_network() -> None:
    network = tiny()
    backbone = Backbone(network)
    ours, theirs = backbone.state_dict(), network.state_dict()
    assert ours.keys() == {name for name in theirs if name.startswith("features.")}
    assert all(ours[name].data_ptr() == theirs[name].data_ptr() for name in ours)


def test_only_what_the_chosen_maps_need() -> None:
    network = tiny().eval()
    images = torch.rand(1, 3, 40, 40)
    every = Backbone(network)(images)
    backbone = Backbone(network, out_indices=[2, 0])
    assert (backbone.channels, backbone.strides) == ((8, 12), (2, 8))
    assert set(dict(backbone.features.named_children())) == {
        *("conv0", "norm0", "relu0", "pool0"),
        *("denseblock1", "transition1", "denseblock2", "transition2"),
    }
    assert not hasattr(backbone.features.transition2, "conv")
    torch.testing.assert_close(backbone(images), [every[0], every[2]])
    for parameter in backbone.train().parameters():
        parameter.grad = None
    sum(feature.sum() for feature in backbone(images)).backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


@pytest.mark.parametrize("indices", [[4], [-5], [0, 4], []])
def test_maps_that_there_are_not(indices: list[int]) -> None:
    with pytest.raises(
        ValueError, match=r"expected some of 0 to 3, or of -1 to -4, .* strides 2, 4, 8, 16"
    ):
        Backbone(tiny(), out_indices=indices)


def test_other_networks_are_refused() -> None:
    network = FCDenseNet(
        growth_rate=2, down_blocks=(1,), bottleneck_layers=1, up_blocks=(1,), num_classes=2
    )
    with pytest.raises(ValueError, match="the network is a FCDenseNet; expected a DenseNet"):
        Backbone(network)


def test_builder() -> None:
    backbone = densenet_backbone("densenet_bc100_12", in_channels=1, out_indices=(0, 2))
    assert backbone.strides == (1, 4)
    assert backbone(torch.rand(2, 1, 32, 32))[1].shape == (2, backbone.channels[1], 8, 8)
    with pytest.raises(ValueError, match="did you mean densenet121"):
        densenet_backbone("densenet12")
    with pytest.raises(ValueError, match="fc56 is a network for segmentation"):
        densenet_backbone("fc56")


def test_freeze_holds_weights_and_statistics() -> None:
    backbone = Backbone(tiny(dropout=0.5)).freeze().train()
    before = copy.deepcopy(backbone.state_dict())
    images = torch.rand(2, 3, 40, 40)
    assert all(torch.equal(a, b) for a, b in zip(backbone(images), backbone(images), strict=True))
    torch.testing.assert_close(backbone.state_dict(), before, rtol=0, atol=0)
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    backbone.unfreeze().freeze("features.denseblock1", "features.norm5")
    assert not backbone.features.norm5.training
    assert backbone.features.transition1.norm.training
    backbone(images)[-1].sum().backward()
    assert backbone.features.conv0.weight.grad is not None
    assert backbone.features.norm5.weight.grad is None


HOOKED = [
    "features",
    "features.relu0",
    "features.denseblock1",
    "features.denseblock3",
    "features.transition1",
    "features.transition2.norm",
    "features.transition2.conv",
    "features.transition2.pool",
    "features.norm5",
    "features.denseblock2.denselayer1",
    "features.denseblock3.denselayer2.conv2",
    "pool.relu",
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", HOOKED)
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_hooks_see_what_autograd_says(name: str, training: bool) -> None:
    """Forward hooks with `register_hook`, and full backward hooks, as Grad-CAM tools use them."""
    network = tiny().double().train(training)
    images = torch.rand(2, 3, 37, 42, dtype=torch.double)

    def logits_of(network: nn.Module) -> Tensor:
        return network(images)[:, 1].sum()

    # Plain computation: one module after another, without hooks on the one in question.
    plain = by_modules(network)
    part = plain.get_submodule(name)
    kept: list[Tensor] = []
    original = part.forward

    def forward(*args: Tensor) -> Tensor:
        out = original(*args)
        kept.append(out)
        return out.clone()  # what comes next may overwrite it

    part.forward = forward
    loss = logits_of(plain)
    (expected,) = torch.autograd.grad(loss, kept)
    parameters = dict(plain.named_parameters())
    expected_of_parameters = torch.autograd.grad(logits_of(plain), list(parameters.values()))

    found: dict[str, Tensor] = {}

    def keep(_module: nn.Module, _args: object, out: Tensor) -> None:
        found["features"] = out.detach().clone()
        out.register_hook(lambda gradient: found.update(gradient=gradient.clone()))

    hooked = copy.deepcopy(network)
    hooked.get_submodule(name).register_forward_hook(keep)
    loss = logits_of(hooked)
    of_parameters = torch.autograd.grad(loss, list(hooked.parameters()))
    torch.testing.assert_close(found["features"], kept[0].detach())
    torch.testing.assert_close(found["gradient"], expected)
    torch.testing.assert_close(of_parameters, expected_of_parameters)

    backward = copy.deepcopy(network)
    backward.get_submodule(name).register_full_backward_hook(
        lambda _module, _inputs, outputs: found.update(full=outputs[0].clone())
    )
    logits_of(backward).backward()
    torch.testing.assert_close(found["full"], expected)
    for parameter, gradient in zip(backward.parameters(), expected_of_parameters, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def grad_cam(network: nn.Module, layer: nn.Module, images: Tensor, label: int) -> Tensor:
    """As published (arXiv 1610.02391 section 3): features weighed by their mean gradient, ReLU."""
    found: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda _m, _i, out: found.update(features=out)),
        layer.register_full_backward_hook(lambda _m, _i, outs: found.update(gradient=outs[0])),
    ]
    network(images)[:, label].sum().backward()
    for hook in hooks:
        hook.remove()
    weights = found["gradient"].mean(dim=(2, 3), keepdim=True)
    return torch.relu((weights * found["features"].detach()).sum(dim=1))


def test_grad_cam_equals_the_formula() -> None:
    torch.manual_seed(0)
    network = tiny().double().eval()
    nn.init.uniform_(network.classifier.weight)  # all for the class, so that there is a map
    images = torch.rand(2, 3, 64, 48, dtype=torch.double)
    maps = grad_cam(network, network.features.norm5, images, label=2)
    # Behind norm5 come ReLU, mean and one linear layer, so the gradient is known by hand.
    features = network.features(images).detach()
    pixels = features[0, 0].numel()
    gradient = (features > 0) * network.classifier.weight[2].view(-1, 1, 1) / pixels
    expected = torch.relu((gradient.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1))
    assert maps.shape == (2, 4, 3)
    assert maps.max() > 0
    torch.testing.assert_close(maps, expected.detach())
    # Taken off, the hooks leave nothing behind.
    torch.testing.assert_close(network.features(images).detach(), features)


def test_hooks_on_a_backbone() -> None:
    backbone = Backbone(tiny()).double()
    images = torch.rand(2, 3, 40, 40, dtype=torch.double)
    shapes = {}
    parts = ["features.denseblock2", "features.transition1.relu", "features.transition2.conv"]
    for name in parts:
        backbone.get_submodule(name).register_forward_hook(
            lambda _m, _i, out, name=name: shapes.update({name: tuple(out.shape)})
        )
    for mode in (True, False):
        shapes.clear()
        maps = backbone.train(mode)(images)
        assert shapes == {
            "features.denseblock2": (2, 12, 5, 5),
            "features.transition1.relu": (2, 16, 10, 10),
            "features.transition2.conv": (2, 6, 5, 5),
        }
        assert F.relu(maps[1]).equal(maps[1])


def test_feature_info_and_indices_are_timms() -> None:
    network = tiny()
    backbone = Backbone(network, out_indices=[-1, 0, -2])
    count = len(Backbone(network).channels)
    same = Backbone(network, out_indices=[0, count - 2, count - 1])
    assert backbone.channels == same.channels
    assert backbone.strides == same.strides
    seen = {}
    for info in backbone.feature_info:
        part = backbone.get_submodule(info["module"])
        part.register_forward_hook(
            lambda _m, _i, out, name=info["module"]: seen.update({name: out})
        )
    maps = backbone.eval()(torch.rand(1, backbone.in_channels, 64, 64))
    for made, info in zip(maps, backbone.feature_info, strict=True):
        assert torch.equal(seen[info["module"]], made)
        assert info["num_chs"] == made.shape[1]
        assert info["reduction"] == 64 // made.shape[2]
