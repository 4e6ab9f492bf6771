"""Optimisers, averages of weights, and norms that are frozen or exchanged."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import swa_utils
from torchvision.ops import FrozenBatchNorm2d

from torch_tools.tool import gradients, loss, state, tool


def train(network: nn.Module, images: Tensor, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    network.train()
    for _ in range(3):
        optimizer.zero_grad()
        loss(network(images)).backward()
        optimizer.step()
    return state(network)


@tool()
def sgd(network: nn.Module, images: Tensor) -> Any:
    return train(network, images, torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9))


@tool()
def adam_of_all_weights_at_once(network: nn.Module, images: Tensor) -> Any:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, foreach=True)
    return train(network, images, optimizer)


@tool()
def fused_adam(network: nn.Module, images: Tensor) -> Any:
    return train(network, images, torch.optim.Adam(network.parameters(), lr=1e-3, fused=True))


@tool()
def lbfgs(network: nn.Module, images: Tensor) -> Any:
    def evaluate() -> Any:
        optimizer.zero_grad()
        value = loss(network(images))
        value.backward()
        return value

    optimizer = torch.optim.LBFGS(network.parameters(), lr=0.01, max_iter=3)
    optimizer.step(evaluate)
    return state(network)


@tool()
def differentiable_optimizer(network: nn.Module, images: Tensor) -> Any:
    """One step of meta-learning: the gradient of the loss after a step, by the weights before."""
    weights = dict(network.named_parameters())
    value = loss(torch.func.functional_call(network, weights, (images,)))
    slopes = torch.autograd.grad(value, list(weights.values()), create_graph=True)
    moved = {
        name: values - 0.01 * slope
        for (name, values), slope in zip(weights.items(), slopes, strict=True)
    }
    after = loss(torch.func.functional_call(network, moved, (images.flip(0),)))
    return torch.autograd.grad(after, list(weights.values()))


@tool()
def moving_average(network: nn.Module, images: Tensor) -> Any:
    average = swa_utils.AveragedModel(
        network, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9), use_buffers=True
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(2):
        train(network, images, optimizer)
        average.update_parameters(network)
    return average.eval()(images)


@tool()
def update_bn(network: nn.Module, images: Tensor) -> Any:
    swa_utils.update_bn([images, images.flip(0) * 2], network.train())
    return state(network), network.eval()(images)


@tool()
def frozen_part(network: nn.Module, images: Tensor) -> Any:
    parameters = list(network.parameters())
    for parameter in parameters[: len(parameters) // 2]:
        parameter.requires_grad_(False)
    return gradients(network.train(), images)


@tool()
def frozen_norms(network: nn.Module, images: Tensor) -> Any:
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
            module.requires_grad_(False)
    return gradients(network, images), state(network)


@tool()
def only_norms_are_trained(network: nn.Module, images: Tensor) -> Any:
    network.train().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(True)
    return gradients(network, images), state(network)


@tool()
def norms_of_torchvision(network: nn.Module, images: Tensor) -> Any:
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(module.num_features, module.eps).double()
            frozen.load_state_dict(module.state_dict())
            network.set_submodule(name, frozen)
    return gradients(network.train(), images), network(images)


@tool()
def norms_without_running_statistics(network: nn.Module, images: Tensor) -> Any:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = None
    return network(images), gradients(network, images)


@tool()
def cumulative_statistics(network: nn.Module, images: Tensor) -> Any:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    network.train()
    network(images)
    network(images.flip(0) * 2)
    return state(network)


@tool()
def norms_without_weights(network: nn.Module, images: Tensor) -> Any:
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            new = nn.BatchNorm2d(module.num_features, affine=False).double()
            network.set_submodule(name, new)
    network.train()
    return network(images), gradients(network, images)
