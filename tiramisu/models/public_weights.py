"""Weights that torchvision publishes: downloaded once, and loaded where they fit."""

from __future__ import annotations

import logging
import socket
from http.client import HTTPException
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import torch
from torch import nn

from tiramisu.models.pretrained import Transfer, load_fitting
from tiramisu.text import in_one_line

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

PublicWeights: TypeAlias = "str | WeightsEnum | None"

_log = logging.getLogger(__name__)

TIMEOUT = 30.0
"""Seconds without a byte after which a download is given up."""

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def load_public(network: nn.Module, name: str, weights: str | WeightsEnum) -> Transfer:
    """Download weights of torchvision, and load the layers that fit.

    The file is downloaded once, into the folder of torch.hub, and checked against the hash in its
    name.

    Args:
        network: a DenseNet, a `Backbone`, or a network with such an encoder.
        name: name of the network at torchvision, such as "densenet121".
        weights: a member of torchvision's enum, such as `DenseNet121_Weights.IMAGENET1K_V1`; or its
            name, with or without that of the enum; or "DEFAULT".

    Raises:
        ValueError: there are no such weights, or the hash of the file is wrong.
        OSError: the download failed.
    """
    found = _find_public(name, weights)
    timeout_before = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(TIMEOUT)  # torch.hub itself would wait for ever
        state = found.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except RuntimeError as error:
        if "invalid hash" not in str(error):
            raise
        raise ValueError(
            f"the weights {found!r} from {found.url} arrived damaged ({error}): try again"
        ) from None
    except (OSError, HTTPException) as error:
        raise OSError(
            f"the weights {found!r} cannot be downloaded ({in_one_line(error)}): go online once, "
            f"or put {found.url} into {torch.hub.get_dir()}/checkpoints"
        ) from None
    finally:
        socket.setdefaulttimeout(timeout_before)
    return load_fitting(network, state)


def start_from_public(network: NetworkT, name: str, weights: PublicWeights) -> NetworkT:
    """Return the network, after `load_public` unless `weights` is None; logs the `Transfer`."""
    if weights is not None:
        _log.info("%s: %s", name, load_public(network, name, weights))
    return network


def _find_public(name: str, weights: str | WeightsEnum) -> WeightsEnum:
    from torchvision.models import get_model_weights  # slow to import, and rarely needed

    try:
        known = get_model_weights(name)
    except ValueError:
        raise ValueError(
            f"there are no published weights {weights!r} for {name}, only for densenet121, "
            "densenet161, densenet169 and densenet201: leave weights out"
        ) from None
    try:
        found: WeightsEnum = known.verify(weights)
    except (KeyError, TypeError):
        members = ", ".join(repr(member.name) for member in known)
        raise ValueError(
            f"{name} has no published weights {weights!r}; expected one of {members}, 'DEFAULT'"
        ) from None
    return found
