"""Every network with dims=3: the same blocks, for volumes."""

import pytest
import torch
from torch import Tensor, nn

from tiramisu.models import (
    DenseNet,
    FCDenseNet,
    LayerStyle,
    TransitionDown,
    densenet121,
    fc_densenet56,
)

FLAT = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d)


def tiny_fcdensenet(dims: int, **options) -> FCDenseNet:
    return FCDenseNet(
        growth_rate=3,
        down_blocks=(1, 2),
        bottleneck_layers=2,
        up_blocks=(2, 1),
        stem_width=5,
        in_channels=1,
        num_classes=2,
        dims=dims,
        **options,
    )


@pytest.mark.parametrize("memory_efficient", [False, True])
def test_segments_volumes_of_odd_sizes(memory_efficient: bool) -> None:
    network = tiny_fcdensenet(3, memory_efficient=memory_efficient)
    logits = network(torch.rand(2, 1, 9, 10, 11))
    assert logits.shape == (2, 2, 9, 10, 11)
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("build", [fc_densenet56, densenet121])
def test_published_networks_take_volumes(build) -> None:
    with torch.device("meta"):
        network = build(dims=3, in_channels=1, num_classes=4).eval()
        logits = network(torch.empty(1, 1, 32, 33, 40))
    assert logits.shape == ((1, 4, 32, 33, 40) if isinstance(network, FCDenseNet) else (1, 4))
    assert not any(isinstance(m, FLAT) for m in network.modules())


@pytest.mark.parametrize("stem", ["imagenet", "cifar", "face"])
def test_classifies_volumes(stem: str) -> None:
    network = DenseNet(
        growth_rate=4, block_config=(1, 2), stem=stem, num_classes=3, in_channels=2, dims=3
    )
    logits = network(torch.rand(2, 2, 9, 10, 11))
    assert logits.shape == (2, 3)
    logits.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def _inflate(flat: nn.Module, deep: nn.Module) -> None:
    """Give a network for volumes the weights of one for images, in its middle slice."""
    weights = {}
    for name, wanted in deep.state_dict().items():
        value = flat.state_dict()[name]
        if value.ndim == 4:
            inflated = torch.zeros_like(wanted)
            inflated[:, :, wanted.shape[2] // 2] = value
            value = inflated
        weights[name] = value
    deep.load_state_dict(weights)


def test_one_slice_is_an_image() -> None:
    # Without pooling, a network whose kernels look at one slice alone sees each slice as an image.
    options = {"growth_rate": 4, "block_config": (3,), "stem": "cifar", "head": None}
    flat, deep = DenseNet(**options).eval(), DenseNet(**options, dims=3).eval()
    _inflate(flat, deep)
    volume = torch.rand(2, 3, 5, 8, 9)
    slices = [flat.features(volume[:, :, depth]) for depth in range(5)]
    expected: Tensor = torch.stack(slices, dim=2)
    torch.testing.assert_close(deep.features(volume), expected)


@pytest.mark.parametrize(
    ("pooling", "pool"), [("max", nn.functional.max_pool3d), ("average", nn.functional.avg_pool3d)]
)
def test_transition_down_pools_volumes(pooling, pool) -> None:
    style = LayerStyle(bias=False, eps=1e-5, dropout=0.0, dims=3)
    transition = TransitionDown(4, pooling=pooling, style=style).eval()
    volume = torch.randn(2, 4, 5, 6, 7)
    expected = pool(transition.conv(torch.relu(transition.norm(volume))), 2)
    torch.testing.assert_close(transition(volume), expected)


def test_says_what_it_expects() -> None:
    network = tiny_fcdensenet(3)
    with pytest.raises(ValueError, match=r"expected \(B, 1, D, H, W\).*volume.unsqueeze\(0\)"):
        network(torch.rand(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"8x3x8 voxels; expected at least 4x4x4.*the volumes"):
        network(torch.rand(1, 1, 8, 3, 8))
