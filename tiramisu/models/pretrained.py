"""Weights from elsewhere: a network takes what fits, and says what that was.

`load_fitting` matches layers by name and shape, wherever the weights come from: ImageNet, another
data set's classes, or a DenseNet of which an FC-DenseNet takes the way down.
`load_public` fetches torchvision's weights first.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from tiramisu.models.operators import CONVOLUTIONS

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

PublicWeights: TypeAlias = "str | WeightsEnum | None"

_log = logging.getLogger(__name__)

NetworkT = TypeVar("NetworkT", bound=nn.Module)

_OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
"""`norm.1.` of torchvision's files, which is `norm1.` today."""

_TRANSITION = re.compile(r"\bfeatures\.transition(\d+)\.")

_WRAPPERS = re.compile(r"^(?:network\.)?(?:encoder\.)?")
"""What stands before a network's own names where it is an encoder of another."""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What a network took over from other weights, by names of its layers.

    `str()` says it in one line.
    """

    taken: tuple[str, ...]
    """Layers whose weights were taken as they are."""
    adapted: tuple[str, ...]
    """Layers whose weights were changed to fit: another number of input channels, or of
    dimensions."""
    new: tuple[str, ...]
    """Layers that keep their own weights: nothing of their name and shape was there."""
    unused: tuple[str, ...]
    """Layers of the other network that found no place."""

    def __str__(self) -> str:
        total = len(self.taken) + len(self.adapted) + len(self.new)
        said = [f"{len(self.taken)} of {total} layers taken"]
        said += [
            f"{word}: {_list_briefly(names)}"
            for word, names in (
                ("adapted", self.adapted),
                ("new", self.new),
                ("left over", self.unused),
            )
            if names
        ]
        return "; ".join(said)


@torch.no_grad()
def load_fitting(
    network: nn.Module, weights: nn.Module | Mapping[str, Tensor], *, leave: Sequence[str] = ()
) -> Transfer:
    """Give a network every layer of other weights whose name and shape fit.

    A layer is taken whole or not at all. Names are compared without the prefix of an encoder, so
    `features.denseblock1.denselayer1.conv1` of a DenseNet fits the layer of that name in an
    FC-DenseNet, a `Backbone`, or a network of segmentation-models-pytorch with our encoder. The
    block below an FC-DenseNet's last transition down, `bottleneck`, is a DenseNet's next block.

    What is adapted:

    - the first convolution to another number of channels: for a single one the filters are added
      up, for several they are repeated and scaled so that activations keep their size;
    - a network of images to one of volumes: filters are repeated in depth and divided by it, so
      that a volume of equal slices is seen as one slice was (I3D, arXiv 1705.07750 section 2.1).

    A convolution without bias fits one with a bias, which is then 0.

    Args:
        network: takes the weights, in place.
        weights: a network, or the state dict of one.
        leave: names of parts that keep their own weights, such as "classifier", even if the
            others fit.

    Raises:
        ValueError: if nothing fits, or `network` has no part of a name in `leave`.
    """
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    others = _group_by_layer(state)
    modules = dict(network.named_modules())
    for part in leave:
        if part not in modules:
            parts = ", ".join(name for name, _ in network.named_children())
            raise ValueError(
                f"The network has no part {part!r} to leave as it is, expected a module's name "
                f"such as {parts}."
            )
    first = next((m for m in modules.values() if isinstance(m, CONVOLUTIONS)), None)
    taken: list[str] = []
    adapted: list[str] = []
    new: list[str] = []
    used = set()
    for key, own in _group_by_layer(network.state_dict()).items():
        module = modules[own.name]
        kept = any(f"{own.name}.".startswith(f"{part}.") for part in leave)
        values = (
            None
            if kept or key not in others
            else _fit(own.tensors, others[key].tensors, module, is_first=module is first)
        )
        if values is None:
            new.append(own.name)
            continue
        used.add(key)
        changed = any(
            entry in values and values[entry].shape != value.shape
            for entry, value in others[key].tensors.items()
        )
        (adapted if changed else taken).append(own.name)
        for entry, value in values.items():
            own.tensors[entry].copy_(value)
    if not used:
        raise ValueError(
            f"Not one of the {len(others)} layers fits the network by name and shape: give weights "
            f"of the same family, growth rate and width, or train from scratch."
        )
    return Transfer(
        taken=tuple(taken),
        adapted=tuple(adapted),
        new=tuple(new),
        unused=tuple(other.name for key, other in others.items() if key not in used),
    )


def load_public(network: nn.Module, name: str, weights: str | WeightsEnum) -> Transfer:
    """Download torchvision's weights of a network, and load what fits.

    They are kept in torch.hub's folder, so they are downloaded once; the file is checked against
    the hash in its name.

    Args:
        network: a DenseNet, a `Backbone`, or anything with such an encoder.
        name: the network's name at torchvision, such as "densenet121".
        weights: a member of torchvision's enum, such as `DenseNet121_Weights.IMAGENET1K_V1`, its
            name with or without that of the enum, or "DEFAULT".

    Raises:
        ValueError: there are no such weights, or the file's hash is wrong.
        OSError: the download failed.
    """
    found = _find_public(name, weights)
    try:
        state = found.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except RuntimeError as error:
        if "invalid hash" not in str(error):
            raise
        raise ValueError(
            f"The weights {found!r} from {found.url} came damaged ({error}): try again, and "
            f"mistrust the network in between if it happens again."
        ) from None
    except OSError as error:
        raise OSError(
            f"The weights {found!r} cannot be fetched ({error}): go online once, or put the file "
            f"of {found.url} into {torch.hub.get_dir()}/checkpoints."
        ) from None
    return load_fitting(network, state)


def start_from_public(network: NetworkT, name: str, weights: PublicWeights) -> NetworkT:
    """The network itself, after `load_public` unless `weights` is None; logs what was taken."""
    if weights is not None:
        _log.info("%s: %s", name, load_public(network, name, weights))
    return network


def _find_public(name: str, weights: str | WeightsEnum) -> WeightsEnum:
    from torchvision.models import get_model_weights  # slow to import, and seldom needed

    try:
        known = get_model_weights(name)
    except ValueError:
        raise ValueError(
            f"There are no public weights of {name} (asked for {weights!r}), only of densenet121, "
            f"densenet161, densenet169 and densenet201: leave weights out."
        ) from None
    try:
        found: WeightsEnum = known.verify(weights)
    except (KeyError, TypeError):
        members = ", ".join(repr(member.name) for member in known)
        raise ValueError(
            f"{name} has no public weights {weights!r}, expected one of: {members}, 'DEFAULT'."
        ) from None
    return found


class _Layer(NamedTuple):
    name: str
    tensors: dict[str, Tensor]
    """Weights and buffers by their own names, such as "running_mean"."""


def _group_by_layer(state: Mapping[str, Tensor]) -> dict[str, _Layer]:
    """A state dict's tensors by layers, each under the name it would have in a DenseNet today."""
    transitions = {match[1] for name in state if (match := _TRANSITION.search(name))}
    below = f"features.denseblock{len(transitions) + 1}."
    layers: dict[str, _Layer] = {}
    for name, value in state.items():
        layer, _, entry = name.rpartition(".")
        key = _WRAPPERS.sub("", f"{layer}.")
        key = _OLD_NAME.sub(r"\1\2", key)
        key = re.sub(r"^bottleneck\.", below, key)
        layers.setdefault(key, _Layer(layer, {})).tensors[entry] = value
    return layers


def _fit(
    own: Mapping[str, Tensor], other: Mapping[str, Tensor], module: nn.Module, *, is_first: bool
) -> dict[str, Tensor] | None:
    """Another layer's tensors in this one's shapes, or None if it does not fit."""
    if (own.keys() ^ other.keys()) - {"bias", "num_batches_tracked"}:
        return None
    if "bias" in other.keys() - own.keys():
        return None  # without it, the layer would be another function
    values = {}
    for entry, target in own.items():
        if entry not in other:
            if entry == "bias":
                values[entry] = torch.zeros_like(target)
            continue
        value = other[entry]
        if entry == "weight":
            if isinstance(module, nn.Conv3d) and value.ndim == 4:
                value = _inflate(value)
            if is_first and value.ndim == target.ndim and value.shape[1] != target.shape[1]:
                value = adapt_channels(value, target.shape[1])
        if value.shape != target.shape:
            return None
        values[entry] = value
    return values


def adapt_channels(weight: Tensor, in_channels: int) -> Tensor:
    """Filters for another number of input channels: (K, C, ...) -> (K, in_channels, ...).

    For a single channel, the filters of all old ones added up: grey is what RGB shows where its
    channels are equal. For several, the old ones in turn, scaled so that their sum stays in size.
    """
    old_channels = weight.shape[1]
    if in_channels == 1:
        return weight.sum(dim=1, keepdim=True)
    turns = torch.arange(in_channels, device=weight.device) % old_channels
    return weight[:, turns] * (old_channels / in_channels)


def _inflate(weight: Tensor) -> Tensor:
    """Filters for volumes: (K, C, k, k) -> (K, C, k, k, k)."""
    depth = weight.shape[-1]
    return weight.unsqueeze(2).repeat(1, 1, depth, 1, 1) / depth


def _list_briefly(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
