"""What a tool is, and the table of all of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Run = Callable[[nn.Module, Tensor], Any]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One tool of PyTorch, applied to a network and images."""

    run: Run
    """Returns tensors and values, which must be the same for our network and the plain one; or, if
    `makes_network`, a function of images that must compute what the plain network does."""

    plain: Run | None = None
    """What is run with the plain network, where that is not the same."""

    makes_network: bool = False
    trains: bool = False
    """Whether the made network is compared in training too: gradients and running statistics."""

    any_size: bool = False
    """Whether the made network is compared at other sizes and numbers of images too."""

    rtol: float | None = None
    atol: float | None = None
    """Tolerances; None for those of `torch.testing.assert_close`."""

    unfit: Mapping[str, str] = field(default_factory=dict)
    """Kinds of networks for which the plain network does not support the tool, and why."""


TOOLS: dict[str, Tool] = {}


def tool(**settings: Any) -> Callable[[Run], Run]:
    """Enter a function into the table, under its name."""

    def enter(run: Run) -> Run:
        name = run.__name__
        assert name not in TOOLS
        TOOLS[name] = Tool(run=run, **settings)
        return run

    return enter


def tensors(output: Any) -> list[Tensor]:
    """The output of any network as a list."""
    return [output] if isinstance(output, Tensor) else list(output)


def signature(output: Any) -> Tensor:
    """One number for each channel of each output, which depends on all of its values."""
    numbers = []
    for values in tensors(output):
        ramp = torch.linspace(0.5, 1.5, values.numel(), dtype=values.dtype, device=values.device)
        others = [dim for dim in range(values.ndim) if dim != 1]
        numbers.append((values.square() * ramp.reshape(values.shape)).mean(dim=others))
    return torch.cat(numbers)


def loss(output: Any) -> Tensor:
    return signature(output).sum()


def gradients(network: nn.Module, images: Tensor) -> list[Tensor | None]:
    """The gradients of all parameters, by `backward`."""
    network.zero_grad()
    loss(network(images)).backward()
    return [parameter.grad for parameter in network.parameters()]


def state(network: nn.Module) -> list[Tensor]:
    """Weights and running statistics, in the order that our networks share with the plain ones."""
    return [values.clone() for values in network.state_dict().values()]


def of_norm(
    network: nn.Module, images: Tensor, *, index: int = 0
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The signature as a function of the weight of a batch norm, and that weight.

    It is small, and everything after it depends on it.
    """
    norms = [pair for pair in network.named_modules() if isinstance(pair[1], nn.BatchNorm2d)]
    name, norm = norms[index]

    def compute(weight: Tensor) -> Tensor:
        output = torch.func.functional_call(network, {f"{name}.weight": weight}, (images,))
        return signature(output)

    return compute, norm.weight.detach().clone()


def with_weights(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules with parameters of their own, which all networks have in the same order."""
    return [
        (name, module)
        for name, module in network.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
