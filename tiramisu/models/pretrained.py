"""Weights of other networks: each layer that fits is loaded, and a `Transfer` lists which.

`load_fitting` matches layers by name and shape: of the same network trained on ImageNet or for
other classes, of one that others wrote (`renaming`), or of a DenseNet whose dense blocks fit the
way down of an FC-DenseNet.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tiramisu.models.arguments import find_part
from tiramisu.models.operators import CONVOLUTIONS
from tiramisu.models.renaming import PEERS_EPS, rename_layers
from tiramisu.text import list_some

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """The layers that a network took over from other weights, by name; `str()` gives one line."""

    taken: tuple[str, ...]
    """Layers whose weights were taken unchanged."""
    adapted: tuple[str, ...]
    """Layers whose weights were adapted to another number of input channels or of dimensions."""
    new: tuple[str, ...]
    """Layers that keep their own weights, because no layer of that name and shape was found."""
    unused: tuple[str, ...]
    """Layers of the other network that were not used."""
    peer: str | None = None
    """Whose names the layers had, a key of `renaming.PEERS`; None for torchvision's names."""
    eps: tuple[float, float] | None = None
    """Epsilon of batch norm there and here, if the two are known to differ."""

    def __str__(self) -> str:
        total = len(self.taken) + len(self.adapted) + len(self.new)
        parts = [f"{len(self.taken)} of {total} layers loaded"]
        if self.peer is not None:
            parts.append(f"names of {self.peer}")
        rest = {"adapted": self.adapted, "random weights": self.new, "not used": self.unused}
        parts += [f"{word}: {list_some(names, most=3)}" for word, names in rest.items() if names]
        if self.eps is not None:
            parts.append("epsilon of batch norm: {} there, {} here".format(*self.eps))
        return "; ".join(parts)


@torch.no_grad()
def load_fitting(
    network: nn.Module, weights: nn.Module | Mapping[str, Tensor], *, leave: Sequence[str] = ()
) -> Transfer:
    """Load every layer of other weights that fits a network by name and shape.

    A layer is taken whole or not at all. Names may be those of torchvision, timm or one of
    `renaming.PEERS`. They are compared without the prefix of an encoder, so that
    `features.denseblock1.denselayer1.conv1` of a DenseNet fits the layer of that name in an
    FC-DenseNet, a `Backbone`, or a network of segmentation-models-pytorch with such an encoder. The
    `bottleneck` of an FC-DenseNet takes the next dense block of a DenseNet.

    Adapted are:

    - the first convolution, to another number of input channels: for a single channel the filters
      are summed, for several they are repeated and scaled so that activations keep their size;
    - convolutions for images, to volumes: filters are repeated in depth and divided by it, so that
      a volume of equal slices gives what one slice gave (I3D, arXiv 1705.07750 section 2.1).

    The weights of a convolution without bias fit one with a bias; its bias is then 0.

    Outputs equal those of the other network if the two have the same structure and the same epsilon
    of batch norm, which no state dict holds. FC-DenseNets have 1e-4, all other networks 1e-5: for
    the outputs of bfortuner's FC-DenseNets, set `eps` of every batch norm to 1e-5. If layers with
    little of the parameters fit, a warning is logged.

    Args:
        network: the network to load into, in place.
        weights: a network, or the state dict of one.
        leave: names of parts that keep their own weights, such as "classifier".

    Raises:
        ValueError: no layer fits, or `network` has no part of a name in `leave`.
    """
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    peer, others = _group_by_layer(state)
    modules = dict(network.named_modules())
    other_modules = dict(weights.named_modules()) if isinstance(weights, nn.Module) else {}
    for part in leave:
        find_part(network, part, purpose="to leave as it is")
    if any(parameter.is_meta for parameter in network.parameters()):
        raise ValueError(
            'the network is on the device "meta", which holds no numbers; expected one with '
            'memory: call network.to_empty(device="cpu") first'
        )
    first = next((m for m in modules.values() if isinstance(m, CONVOLUTIONS)), None)
    taken: list[str] = []
    adapted: list[str] = []
    new: list[str] = []
    used = set()
    eps: Any = None
    loaded = own_size = 0
    for key, own in _group_by_layer(network.state_dict())[1].items():
        module = modules[own.name]
        size = sum(value.numel() for value in own.tensors.values())
        values = None
        is_left = any(f"{own.name}.".startswith(f"{part}.") for part in leave)
        own_size += 0 if is_left else size
        if key in others and not is_left:
            values = _fit(own.tensors, others[key].tensors, module, is_first=module is first)
        if values is None:
            new.append(own.name)
            continue
        used.add(key)
        loaded += size
        changed = any(
            entry in values and values[entry].shape != value.shape
            for entry, value in others[key].tensors.items()
        )
        (adapted if changed else taken).append(own.name)
        for entry, value in values.items():
            own.tensors[entry].copy_(value)
        other = other_modules.get(others[key].name)
        other_eps: float | None = getattr(other, "eps", PEERS_EPS if peer else None)
        if hasattr(module, "eps") and other_eps not in (None, module.eps):
            eps = other_eps, module.eps
    if not used:
        inner = next((name for name, value in state.items() if isinstance(value, Mapping)), None)
        if inner is not None:
            raise ValueError(
                f"the weights are a dictionary with {list_some([*state], most=5)}; expected a "
                f"state dict: give weights[{inner!r}]"
            )
        raise ValueError(
            f"none of the {len(others)} layers fits the network by name and shape: give weights of "
            "the same family, growth rate and width, or train from scratch"
        )
    other_size = sum(value.numel() for layer in others.values() for value in layer.tensors.values())
    if 2 * loaded < min(own_size, other_size):
        _log.warning(
            "only %.2g %% of the network's numbers were loaded; expected weights of a network of "
            "the same family, growth rate and number of layers",
            100 * loaded / own_size,
        )
    _check_versions(modules, loaded=taken + adapted, metadata=getattr(state, "_metadata", {}))
    return Transfer(
        taken=tuple(taken),
        adapted=tuple(adapted),
        new=tuple(new),
        unused=tuple(other.name for key, other in others.items() if key not in used),
        peer=peer,
        eps=eps,
    )


def _check_versions(
    modules: Mapping[str, nn.Module], *, loaded: Sequence[str], metadata: Mapping[str, Any]
) -> None:
    """Let an encoder compare its version with that of the encoder that its decoder learned with."""
    versions = {name.removeprefix("network."): entry for name, entry in metadata.items()}
    for name, module in modules.items():
        check = getattr(module, "check_version", None)
        if check is not None and not all(layer.startswith(name) for layer in loaded):
            check(versions.get(name.removeprefix("network."), {}).get("version"))


class _Layer(NamedTuple):
    name: str
    tensors: dict[str, Tensor]
    """Weights and buffers by name, such as "running_mean"."""


def _group_by_layer(state: Mapping[str, Tensor]) -> tuple[str | None, dict[str, _Layer]]:
    """Whose names they are, and the tensors by layer, under the layer's name in a DenseNet."""
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    peer, keys = rename_layers({name.rpartition(".")[0] for name in tensors})
    layers: dict[str, _Layer] = {}
    for name, value in tensors.items():
        layer, _, entry = name.rpartition(".")
        layers.setdefault(keys[layer], _Layer(layer, {})).tensors[entry] = value
    return peer, layers


def _fit(
    own: Mapping[str, Tensor], other: Mapping[str, Tensor], module: nn.Module, *, is_first: bool
) -> dict[str, Tensor] | None:
    """The tensors of another layer in the shapes of this one; None if it does not fit."""
    if (own.keys() ^ other.keys()) - {"bias", "num_batches_tracked"}:
        return None
    if "bias" in other.keys() - own.keys():
        return None  # without its bias, the layer would compute something else
    values = {}
    for entry, target in own.items():
        if entry not in other:
            if entry == "bias":
                values[entry] = torch.zeros_like(target)
            continue
        value = other[entry]
        if entry == "weight":
            if isinstance(module, nn.Conv3d) and value.ndim == 4:
                depth = value.shape[-1]  # (K, C, k, k) -> (K, C, k, k, k)
                value = value.unsqueeze(2).repeat(1, 1, depth, 1, 1) / depth
            if is_first and value.ndim == target.ndim and value.shape[1] != target.shape[1]:
                value = adapt_channels(value, target.shape[1])
        if value.shape != target.shape:
            return None
        values[entry] = value
    return values


def adapt_channels(weight: Tensor, in_channels: int) -> Tensor:
    """Filters for another number of input channels: (K, C, ...) -> (K, in_channels, ...).

    For a single channel the filters of all channels are summed, which is exact for grey images. For
    several channels they are repeated in turn, and scaled so that their sum keeps its size.
    """
    old_channels = weight.shape[1]
    if in_channels == 1:
        return weight.sum(dim=1, keepdim=True)
    turns = torch.arange(in_channels, device=weight.device) % old_channels
    return weight[:, turns] * (old_channels / in_channels)
