"""Modules and functions that are patched or replaced from outside."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_tools.hooks import callable_modules
from torch_tools.tool import gradients, tensors, tool, with_weights


@tool()
def patched_forward_of_leaves(network: nn.Module, images: Tensor) -> Any:
    def patch(module: nn.Module) -> None:
        original = module.forward
        module.forward = lambda x: original(x) * 0.9

    for _, module in with_weights(network):
        patch(module)
    return network(images)


@tool()
def patched_forward_of_activations(network: nn.Module, images: Tensor) -> Any:
    names = []
    for name, module in network.named_modules():
        # The last activations are functions in the plain networks.
        if isinstance(module, nn.ReLU) and ("denselayer" in name or "block" in name):
            module.forward = lambda x: F.leaky_relu(x, 0.3)
            names.append(name)
    return network(images), len(names)


@tool()
def patched_forward_of_containers(network: nn.Module, images: Tensor) -> Any:
    def patch(module: nn.Module) -> None:
        original: Callable[..., Any] = module.forward

        def forward(*args: Any, **keywords: Any) -> Any:
            calls.append(module)
            return original(*args, **keywords)

        module.forward = forward

    calls: list[nn.Module] = []
    containers = [m for _, m in callable_modules(network) if next(m.children(), None) is not None]
    for module in containers:
        patch(module)
    return network(images), len(set(containers) - set(calls))


@tool()
def patched_class(network: nn.Module, images: Tensor) -> Any:
    original = nn.BatchNorm2d.forward
    nn.BatchNorm2d.forward = lambda self, x: original(self, x) * 0.9
    try:
        return network(images)
    finally:
        nn.BatchNorm2d.forward = original


@tool()
def patched_function(network: nn.Module, images: Tensor) -> Any:
    original = F.batch_norm
    F.batch_norm = lambda *args, **keywords: original(*args, **keywords) * 0.9
    try:
        return network(images)
    finally:
        F.batch_norm = original


def replace(network: nn.Module, kind: type[nn.Module], new: Callable[[Any], nn.Module]) -> None:
    """Replace the modules of a kind, wherever they are."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, kind):
                parent.add_module(name, new(child))


@tool()
def replaced_norms(network: nn.Module, images: Tensor) -> Any:
    replace(network, nn.BatchNorm2d, lambda norm: nn.GroupNorm(1, norm.num_features).double())
    return gradients(network.train(), images), network(images)


@tool()
def wrapped_convolutions(network: nn.Module, images: Tensor) -> Any:
    replace(network, nn.Conv2d, lambda conv: nn.Sequential(conv, nn.Tanh()))
    return gradients(network.train(), images), network(images)


@tool()
def adapted_convolutions(network: nn.Module, images: Tensor) -> Any:
    class Adapted(nn.Module):
        def __init__(self, conv: nn.Conv2d) -> None:
            super().__init__()
            self.conv = conv
            self.scale = nn.Parameter(torch.full((), 0.5, dtype=torch.double))

        def forward(self, features: Tensor) -> Tensor:
            made: Tensor = self.conv(features)
            return made + self.scale * made.roll(1, 1)

    replace(network, nn.Conv2d, Adapted)
    return gradients(network, images), tensors(network(images))
