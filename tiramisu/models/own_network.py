"""Networks of one's own, by MODULE:NAME: found, built, and tried with small images.

A network is a class that derives from `nn.Module`, or a function that returns one:

    class TinyNet(nn.Module):
        def __init__(self, num_classes, in_channels): ...
        def forward(self, images): ...      # (B, in_channels, H, W) -> (B, num_classes, H, W)
"""

import copy
import inspect
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tiramisu.models.arguments import check_counts
from tiramisu.models.padded import Padded
from tiramisu.own_parts import accepted, call, describe_error, describe_part, find_part_by_name

NetworkBuilder = Callable[..., nn.Module]
"""Takes num_classes and, if it has such keywords, in_channels, dropout and memory_efficient."""

SIDES = (64, 128, 224, 256, 512)
"""Sides of the square images that are tried first, in pixels; many classifiers take only 224."""
STRIDES = (1, 2, 4, 8, 16, 32, 64)
"""Strides that are tried: of sides that are multiples of the first that works, all are taken."""
LARGEST_TRIED = 256
"""Largest of the smallest sides that are tried, in pixels."""


class OwnNetwork(Padded):
    """A network of one's own, for images of any size; see `Padded`.

    Attributes:
        task: what its logits are for: "segmentation", (B, C, H, W), or "classification", (B, C).
    """

    task: str


def find_network(name: str, *, not_in: Path | None = None) -> NetworkBuilder:
    """Import a network by MODULE:NAME; nothing is called.

    Args:
        name: such as "mypackage.nets:TinyNet".
        not_in: a folder whose modules are not imported.

    Raises:
        ValueError: there is no such module or name, or it is not a network.
    """
    part: object = find_part_by_name(name, flag="--arch", not_in=not_in)
    if isinstance(part, type) and issubclass(part, nn.Module):
        return part
    if inspect.isfunction(part) and _returns_network(part):
        return part
    raise ValueError(
        f"--arch {name} is {describe_part(part)}; expected a class that derives from nn.Module, or "
        "a function that says that it returns one: def NAME(num_classes, in_channels) -> nn.Module"
    )


def _returns_network(function: Any) -> bool:
    try:
        kind = typing.get_type_hints(function).get("return")
    except Exception:  # names in annotations that are not there
        return False
    return isinstance(kind, type) and issubclass(kind, nn.Module)


def build_own(
    name: str,
    *,
    num_classes: int,
    in_channels: int = 3,
    dropout: float | None = None,
    memory_efficient: bool = False,
    weights: object = None,
    builder: NetworkBuilder | None = None,
) -> OwnNetwork:
    """Build a network of one's own, and find out which sizes of images it takes.

    Args:
        name: MODULE:NAME.
        num_classes: number of channels of the logits.
        in_channels: number of channels of an image.
        dropout: passed on to a network that has such a keyword.
        memory_efficient: the same.
        weights: there are none.
        builder: the network itself, where it is not found by its name.

    Raises:
        ValueError: it cannot be found or built, fails, or its logits have the wrong shape; the
            message says what came.
    """
    check_counts(num_classes=num_classes, in_channels=in_channels)
    asked = f"--arch {name}"
    if builder is None:
        builder = find_network(name)
    elif isinstance(builder, nn.Module) or not callable(builder):
        raise ValueError(
            f"the network is {describe_part(builder)}; expected its class, or a function that "
            "builds it: it is called with num_classes and in_channels"
        )
    if weights is not None:
        raise ValueError(f"{asked} has no public weights {weights!r}: give a file as --init-from")
    given: dict[str, Any] = {"num_classes": num_classes, "in_channels": in_channels}
    extra = {"dropout": dropout} if dropout is not None else {}
    extra |= {"memory_efficient": True} if memory_efficient else {}
    options = accepted(builder, given | extra)
    if "num_classes" not in options:
        raise ValueError(
            f"{asked}: {describe_part(builder)} has no parameter num_classes; expected num_classes "
            "and in_channels, which it is called with"
        )
    for option, value in extra.items():
        if option not in options:
            raise ValueError(f"{asked} has no {option}={value}: leave it out, or add a parameter")
    network = call(builder, options, asked=asked)
    if not isinstance(network, nn.Module):
        raise ValueError(f"{asked} returned {describe_part(network)}; expected an nn.Module")
    task, stride, min_size = _try(network, num_classes, in_channels, asked=asked)
    own = OwnNetwork(
        network, in_channels=in_channels, num_classes=num_classes, stride=stride, min_size=min_size
    )
    own.task = task
    return own


def _try(
    network: nn.Module, num_classes: int, in_channels: int, *, asked: str
) -> tuple[str, int, int]:
    """The task of a network, its stride, and the smallest side that it takes, in pixels.

    A copy of the network is run. Raises ValueError if it fails, or its logits have a wrong shape.
    """
    like = next(network.parameters(), torch.zeros(()))

    def run(height: int, width: int, *, batch: int = 1) -> Any:
        images = torch.zeros((batch, in_channels, height, width), device=like.device)
        return copied(images.to(like.dtype))

    def fits(height: int, width: int) -> bool:
        try:
            return shape_of(run(height, width)) == (1, num_classes, height, width)
        except Exception:  # it does not take this size
            return False

    def shape_of(output: object) -> tuple[int, ...]:
        if isinstance(output, Tensor):
            return tuple(output.shape)
        raise ValueError(
            f"{asked} returns {describe_part(output)}; expected one tensor, the logits "
            f"(B, {num_classes}, H, W)"
        )

    copied = copy.deepcopy(network).eval()
    with _without_traces(like.device):
        failure, side, output = "", SIDES[0], None
        for side in SIDES:
            try:
                output = run(side, side)
                break
            except Exception as error:
                reason = f"{asked} fails on images (1, {in_channels}, {side}, {side}): "
                failure = failure or reason + describe_error(error)
        else:
            raise ValueError(failure)
        shape = shape_of(output)
        _check_shape(shape, num_classes, side, asked=asked)
        copied = copy.deepcopy(network).train()
        try:
            trained = run(side, side, batch=2)
        except Exception as error:
            raise ValueError(f"{asked} fails in training: {describe_error(error)}") from None
        if shape_of(trained) != (2, *shape[1:]):
            raise ValueError(
                f"{asked} returns {shape_of(trained)} in training, for 2 images of {side}x{side} "
                f"pixels; expected {(2, *shape[1:])}, as in evaluation"
            )
        if len(shape) == 2:
            return "classification", 1, 1
        copied = copy.deepcopy(network).eval()
        for stride in STRIDES:
            times = -(-SIDES[0] // stride) | 1  # odd, so that no larger stride divides the sides
            if fits(stride * times, stride * (times + 2)):
                break
        else:
            raise ValueError(
                f"{asked} takes images of {side}x{side} pixels, but not of other sizes; expected "
                f"sides that are multiples of some number up to {STRIDES[-1]}"
            )
        smallest = stride
        while smallest < LARGEST_TRIED and not fits(smallest, smallest):
            smallest = 2 * smallest
    return "segmentation", stride, smallest - stride + 1


def _check_shape(shape: tuple[int, ...], num_classes: int, side: int, *, asked: str) -> None:
    """Raise ValueError unless logits of one square image are of every pixel, or of all of it."""
    if shape in ((1, num_classes, side, side), (1, num_classes)):
        return
    came = f"{asked} returns logits {shape} for one image of {side}x{side} pixels and "
    came += f"{num_classes} classes; expected (1, {num_classes}, {side}, {side})"
    if len(shape) == 4 and shape[1] == num_classes:
        came += ": enlarge them at its end, by F.interpolate(logits, size=images.shape[2:])"
    elif len(shape) == 4:
        came += ": its last convolution needs num_classes channels"
    else:
        came += f", or (1, {num_classes}) of a classifier"
    raise ValueError(came)


@contextmanager
def _without_traces(device: torch.device) -> Iterator[None]:
    """Without gradients, and with the same random numbers after as before."""
    devices = [device] if device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices):
        yield
