"""A DenseNet without its head: feature maps at every scale, for decoders and detectors."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor, nn

from tiramisu.models.blocks import DenseBlock, TransitionDown
from tiramisu.models.densenet import DenseNet
from tiramisu.models.network import Network
from tiramisu.models.operators import CONVOLUTIONS


class Level(NamedTuple):
    """One scale of a network's features."""

    layer: str
    """The layer whose output it is: the activation of the stem, a transition, or the last norm."""
    channels: int
    stride: int


class Backbone(Network):
    """The feature maps of a DenseNet at each scale, after BN and activation, the finest first.

    They are the output of the stem, of BN and activation of each transition, and of the last BN
    with its activation. DenseNet-121 has 64, 256, 512, 1024 and 1024 channels at strides 2, 4, 8,
    16 and 32. With the "cifar" stem, which has no BN and stride 1, there is one map for each dense
    block.

    The modules are those of the network itself under the same names (`features.conv0`, ...), so
    weights are shared with it. Layers that no map needs are left out. `freeze()` freezes all of it,
    or the parts that are named. `feature_info` lists channels, stride and module of each map, in
    dictionaries with timm's keys. A transition returns two tensors: the map that its BN and
    activation make, and what the next block reads.

    Shapes: images (B, in_channels, H, W) -> a list of (B, channels[i], H / strides[i],
    W / strides[i]): the stem rounds up, transitions down. Volumes for a network with dims=3.

    Args:
        network: a DenseNet.
        out_indices: indices of the maps to return, counted from 0, the finest, or from -1, the
            coarsest; None for all.

    Raises:
        ValueError: the network is no DenseNet or has no such map; in `forward`, images have the
            wrong number of channels or are too small.
    """

    if TYPE_CHECKING:
        features: Any  # modules by name, of several kinds

    def __init__(self, network: DenseNet, *, out_indices: Sequence[int] | None = None) -> None:
        super().__init__()
        if not isinstance(network, DenseNet):
            raise ValueError(
                f"the network is a {type(network).__name__}; expected a DenseNet, such as "
                "Backbone(densenet121())"
            )
        levels = _find_levels(network)
        all_indices = range(len(levels))
        if out_indices is None:
            out_indices = all_indices
        if not out_indices or not all(-len(levels) <= i < len(levels) for i in out_indices):
            raise ValueError(
                f"out_indices is {out_indices}; expected some of 0 to {len(levels) - 1}, or of -1 "
                f"to {-len(levels)}, counted from the coarsest: the "
                f"network has {len(levels)} feature maps, with strides "
                f"{', '.join(str(level.stride) for level in levels)}"
            )
        chosen = [levels[i] for i in sorted({all_indices[i] for i in out_indices})]
        self.in_channels = network.in_channels
        self.dims = network.dims
        self.channels = tuple(level.channels for level in chosen)
        self.strides = tuple(level.stride for level in chosen)
        self.feature_info = [
            {
                "num_chs": level.channels,
                "reduction": level.stride,
                "module": f"features.{level.layer}" + ".relu" * level.layer.startswith("trans"),
            }
            for level in chosen
        ]
        # A map of a smaller stride needs as many pixels less; the stem rounds up.
        self.min_size = max(1, network.min_size - levels[-1].stride + self.strides[-1])
        self._chosen = [level.layer for level in chosen]
        self.features = _take_until(network, self._chosen[-1])

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, in_channels, H, W) -> the chosen feature maps, the finest first."""
        return self.make_maps(images)

    def make_maps(self, images: Tensor) -> list[Tensor]:
        """The same as `forward`, for subclasses: TorchScript does not support `super()`."""
        maps: list[Tensor] = []
        features = images
        for name, layer in self.features.items():
            # TorchScript tells layers apart by their attributes, not by their classes.
            if hasattr(layer, "pool"):
                feature_map, features = layer(features)
            else:
                features = layer(features)
                feature_map = features
            if name in self._chosen:
                maps.append(feature_map)
        return maps


class MapAndTransition(nn.Module):
    """A transition down whose BN and activation make a feature map.

    Shapes: (B, in_channels, H, W) -> the map, of the same shape, and
    (B, out_channels, H // 2, W // 2) for the next block.
    """

    def __init__(self, transition: TransitionDown) -> None:
        super().__init__()
        self.norm = transition.norm
        self.relu = transition.relu
        self.conv = transition.conv
        self.dropout = transition.dropout
        self.pool = transition.pool

    def forward(self, stack: Tensor) -> tuple[Tensor, Tensor]:
        """A stack -> a feature map, and the features that the next block reads."""
        feature_map = self.relu(self.norm(stack))
        return feature_map, self.pool(self.dropout(self.conv(feature_map)))


def _find_levels(network: DenseNet) -> list[Level]:
    """All scales of the features of a network."""
    levels = []
    width = stride = 1
    for name, layer in network.features.named_children():
        if isinstance(layer, CONVOLUTIONS):
            width, stride = layer.out_channels, layer.stride[0]
        if name in ("relu0", "norm5") or isinstance(layer, TransitionDown):
            # The activation of the last norm is not in `features`; `_take_until` adds it.
            levels.append(Level("relu5" if name == "norm5" else name, width, stride))
        if isinstance(layer, (DenseBlock, TransitionDown)):
            width = layer.out_channels
        if name == "pool0" or isinstance(layer, TransitionDown):
            stride *= 2
    return levels


def _take_until(network: DenseNet, last: str) -> nn.ModuleDict:
    """The layers of `features` up to `last`, with the final activation if it is the last norm."""
    assert isinstance(network.pool, nn.Sequential)
    layers: dict[str, nn.Module] = {}
    for name, layer in [*network.features.named_children(), ("relu5", network.pool[0])]:
        if isinstance(layer, TransitionDown):
            if name == last:
                layer = nn.Sequential(OrderedDict(norm=layer.norm, relu=layer.relu))
            else:
                layer = MapAndTransition(layer)
        layers[name] = layer
        if name == last:
            break
    return nn.ModuleDict(layers)
