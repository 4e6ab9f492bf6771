"""A small network of each kind, and a plain one beside it that has the same weights."""

import copy
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
import torchvision
from tiny_networks import tiny_fcdensenet
from torch import Tensor, nn

from tiramisu.models import Backbone, DenseNet
from tiramisu.models.reference import ReferenceFCDenseNet

KINDS = ("DenseNet", "Backbone", "FCDenseNet")
SIZES = {"DenseNet": (16, 18), "Backbone": (16, 18), "FCDenseNet": (9, 10)}
"""Height and width of the images; both have two blocks or more below each other."""


class PlainDenseNet(torchvision.models.DenseNet):
    """torchvision's network, with activations that hooks for the backward pass can stand beside."""

    def __init__(self) -> None:
        super().__init__(growth_rate=4, block_config=(2, 3), num_init_features=6, num_classes=5)
        for module in self.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.features(images))
        logits: Tensor = self.classifier(F.adaptive_avg_pool2d(features, 1).flatten(1))
        return logits


class PlainBackbone(nn.Module):
    """torchvision's modules, run by hand up to each feature map."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict(dict(PlainDenseNet().features.named_children()))

    def forward(self, images: Tensor) -> list[Tensor]:
        features = images
        maps = []
        for name, layer in self.features.items():
            if name.startswith("transition"):
                maps.append(layer.relu(layer.norm(features)))
                features = layer.pool(layer.conv(maps[-1]))
                continue
            features = layer(features)
            if name == "relu0":
                maps.append(features)
        return [*maps, F.relu(features)]


class PlainFCDenseNet(ReferenceFCDenseNet):
    """The network of the paper, word by word."""

    def __init__(self) -> None:
        super().__init__(
            block_layers=(2, 1, 2, 1, 2), growth_rate=3, stem_width=5, num_classes=4, dropout=0.0
        )


def new_densenet() -> DenseNet:
    return DenseNet(growth_rate=4, block_config=(2, 3), stem_width=6, num_classes=5)


def new_backbone() -> Backbone:
    return Backbone(new_densenet())


NEW: dict[str, Callable[[], nn.Module]] = {
    "DenseNet": new_densenet,
    "Backbone": new_backbone,
    "FCDenseNet": tiny_fcdensenet,
}
PLAIN: dict[str, type[nn.Module]] = {
    "DenseNet": PlainDenseNet,
    "Backbone": PlainBackbone,
    "FCDenseNet": PlainFCDenseNet,
}


def new_like(network: nn.Module) -> nn.Module:
    """Another network of the same class and size, with fresh weights."""
    name = type(network).__name__
    return NEW[name]() if name in NEW else type(network)()


def randomize(network: nn.Module) -> None:
    """Move biases and BN away from 0, 1 and the identity, where mistakes would not show."""
    generator = torch.Generator().manual_seed(1)
    for name, values in network.state_dict().items():
        if not values.is_floating_point():
            continue
        if values.ndim > 1:
            deviation = (2 / values[0].numel()) ** 0.5
            values.normal_(0, deviation, generator=generator)
        elif name.endswith(("bias", "running_mean")):
            values.uniform_(-0.5, 0.5, generator=generator)
        else:
            values.uniform_(0.5, 1.5, generator=generator)


@cache
def _make_pair(kind: str) -> tuple[nn.Module, nn.Module]:
    ours, plain = NEW[kind](), PLAIN[kind]()
    randomize(ours)
    if isinstance(plain, ReferenceFCDenseNet):
        with torch.no_grad():
            plain.copy_weights(ours)
    else:
        plain.load_state_dict(ours.state_dict(), strict=True)
    return ours.double().eval(), plain.double().eval()


def make_pair(kind: str) -> tuple[nn.Module, nn.Module]:
    """Our network and the plain one: in double precision, in evaluation mode."""
    return copy.deepcopy(_make_pair(kind))


def make_images(kind: str, *, seed: int = 0, batch: int = 2, larger: int = 0) -> Tensor:
    """Images (batch, 3, H, W) of normal noise, `larger` pixels larger than usual."""
    height, width = SIZES[kind]
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, 3, height + larger, width + larger)
    return torch.randn(shape, generator=generator, dtype=torch.double)
