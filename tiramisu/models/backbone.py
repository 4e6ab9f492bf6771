"""A DenseNet without its head: feature maps at every scale, for decoders and detectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from tiramisu.models.arguments import check_images
from tiramisu.models.blocks import DenseBlock, TransitionDown
from tiramisu.models.densenet import DenseNet
from tiramisu.models.fast.fused import arrange, suits
from tiramisu.models.freezing import Freezable
from tiramisu.models.operators import CONVOLUTIONS


class Level(NamedTuple):
    """One scale of a network's features."""

    layer: str
    """The part of `features` that makes it: the stem's activation, a transition or the last norm.
    """
    channels: int
    stride: int
    min_size: int
    """Height and width of the smallest image that has a pixel left here."""


class Backbone(Freezable):
    """The features of a DenseNet at each scale, normalised and activated, the finest first.

    They are what the next part of the network reads: the stem's output, that of each transition's
    BN and activation, and that of the last BN, with its activation. DenseNet-121 gives 64, 256,
    512, 1024 and 1024 channels at strides 2, 4, 8, 16 and 32; with the "cifar" stem, which
    neither normalises nor divides, there are as many maps as dense blocks, from stride 1 on.

    The modules are those of the network itself under the same names (`features.conv0`, ...), so
    weights are shared with it. What no map needs is left out. `freeze()` holds all of it, or the
    parts that are named. Hooks work on every part but one: a transition is run in two halves, so
    hook its `norm`, `relu`, `conv` or `pool` and not the transition itself.

    Shapes: images (B, in_channels, H, W) -> a list of (B, channels[i], H / strides[i],
    W / strides[i]): the stem rounds up, transitions down. Volumes if the network's `dims` is 3.

    Args:
        network: a DenseNet, with weights or without.
        out_indices: which maps, counted from 0, the finest; None for all.

    Raises:
        ValueError: if the network is no DenseNet or has no such map, and, in `forward`, for images
            of the wrong number of channels or too small.
    """

    if TYPE_CHECKING:
        features: Any  # modules by name, of several kinds

    def __init__(self, network: DenseNet, *, out_indices: Sequence[int] | None = None) -> None:
        super().__init__()
        if not isinstance(network, DenseNet):
            raise ValueError(
                f"A backbone is made of a DenseNet, and this is {type(network).__name__}: give "
                f"Backbone(densenet121()), for example."
            )
        levels = _find_levels(network)
        indices = range(len(levels)) if out_indices is None else sorted(set(out_indices))
        if not indices or indices[0] < 0 or indices[-1] >= len(levels):
            raise ValueError(
                f"out_indices is {out_indices}, expected some of 0 to {len(levels) - 1}: the "
                f"network has {len(levels)} feature maps, with strides "
                f"{', '.join(str(level.stride) for level in levels)}."
            )
        chosen = [levels[i] for i in indices]
        self.in_channels = network.in_channels
        self.dims = network.dims
        self.channels = tuple(level.channels for level in chosen)
        self.strides = tuple(level.stride for level in chosen)
        self.min_size = chosen[-1].min_size
        self._chosen = [level.layer for level in chosen]
        self.features = _take_until(network, self._chosen[-1])

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.make_maps(images)

    def make_maps(self, features: Tensor) -> list[Tensor]:
        """What `forward` does, under a name that heirs can call in TorchScript, which has no
        `super()`."""
        if not torch.jit.is_scripting():
            check_images(
                features, in_channels=self.in_channels, min_size=self.min_size, dims=self.dims
            )
            features = arrange(features)
        maps: list[Tensor] = []
        # What kind of layer it is, is asked in the way that TorchScript understands: it writes
        # the loop out, and leaves out of each turn what that layer has not.
        for name, layer in self.features.items():
            if hasattr(layer, "pool"):  # a transition: norm, activation | convolution, pooling
                features = layer.relu(layer.norm(features))
                if name in self._chosen:
                    maps.append(features)
                features = layer.pool(layer.dropout(layer.conv(features)))
            else:
                if hasattr(layer, "new_channels"):  # a dense block
                    if torch.jit.is_scripting():
                        features = layer.run_plainly(features)
                    else:
                        features = _run_block(layer, features)
                else:
                    features = layer(features)
                if name in self._chosen:
                    maps.append(features)
        return maps


def _find_levels(network: DenseNet) -> list[Level]:
    """Every scale of a network's features, and where to read it."""
    levels = []
    width = stride = 1
    halvings = 0
    stem_stride = 1
    for name, layer in network.features.named_children():
        if isinstance(layer, CONVOLUTIONS):
            width, stride = layer.out_channels, layer.stride[0]
        elif name == "pool0":
            stride *= 2
        elif isinstance(layer, DenseBlock):
            width = layer.out_channels
            if halvings == 0:
                stem_stride = stride
        if name in ("relu0", "norm5") or isinstance(layer, TransitionDown):
            # The last norm has its activation outside of `features`, see `_take_until`.
            read = "relu5" if name == "norm5" else name
            # Each transition rounds down, the stem up.
            min_size = stem_stride * (2**halvings - 1) + 1
            levels.append(Level(read, width, stride, min_size))
        if isinstance(layer, TransitionDown):
            width = layer.out_channels
            stride *= 2
            halvings += 1
    return levels


def _take_until(network: DenseNet, last: str) -> nn.ModuleDict:
    """The layers of `features` that it takes to compute one of them, and the final activation."""
    assert isinstance(network.pool, nn.Sequential)
    layers: dict[str, nn.Module] = {}
    for name, layer in network.features.named_children():
        if name == last and isinstance(layer, TransitionDown):
            layers[name] = nn.Sequential()
            layers[name].add_module("norm", layer.norm)
            layers[name].add_module("relu", layer.relu)
        else:
            layers[name] = layer
        if name == last:
            return nn.ModuleDict(layers)
    layers["relu5"] = network.pool[0]
    return nn.ModuleDict(layers)


def _run_block(block: DenseBlock, features: Tensor) -> Tensor:
    """A dense block; while the CPU's graph is compiled, one that leaves no gap in it."""
    if torch.compiler.is_compiling() and suits(features):
        return block.run_plainly(features)
    return block(features)
