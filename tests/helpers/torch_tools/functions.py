"""torch.func: transforms of the network as a pure function."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from torch_tools.tool import loss, of_norm, signature, tool


def loss_of_weights(network: nn.Module, images: Tensor) -> Callable[[dict[str, Tensor]], Tensor]:
    return lambda weights: loss(functional_call(network, weights, (images,)))


def detached(network: nn.Module) -> dict[str, Tensor]:
    return {name: values.detach() for name, values in network.named_parameters()}


def in_order(network: nn.Module, by_name: dict[str, Tensor]) -> list[Tensor]:
    return [by_name[name] for name, _ in network.named_parameters()]


@tool()
def func_grad(network: nn.Module, images: Tensor) -> Any:
    computed = torch.func.grad(loss_of_weights(network, images))(detached(network))
    return in_order(network, computed)


@tool()
def func_grad_in_training(network: nn.Module, images: Tensor) -> Any:
    network.train()
    buffers = {name: values.clone() for name, values in network.named_buffers()}

    def compute(weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        return loss(functional_call(network, (weights, buffers), (images,)))

    return in_order(network, torch.func.grad(compute)(detached(network), buffers))


@tool()
def func_grad_and_value(network: nn.Module, images: Tensor) -> Any:
    computed, value = torch.func.grad_and_value(lambda x: loss(network(x)))(images)
    return computed, value


@tool()
def func_grad_of_grad(network: nn.Module, images: Tensor) -> Any:
    slope = torch.func.grad(lambda x: loss(network(x)))
    return torch.func.grad(lambda x: slope(x).square().sum())(images)


@tool()
def vmap(network: nn.Module, images: Tensor) -> Any:
    return torch.func.vmap(lambda image: network(image[None]))(images)


@tool()
def vmap_over_batches(network: nn.Module, images: Tensor) -> Any:
    return torch.func.vmap(network, in_dims=1)(torch.stack([images, images.flip(0)], dim=1))


@tool()
def vmap_in_chunks(network: nn.Module, images: Tensor) -> Any:
    three = torch.cat([images, images[:1] / 2])
    return torch.func.vmap(lambda image: network(image[None]), chunk_size=2)(three)


@tool()
def vmap_in_training(network: nn.Module, images: Tensor) -> Any:
    network = torch.func.replace_all_batch_norm_modules_(network.train())
    return torch.func.vmap(network)(torch.stack([images, images.square()]))


@tool()
def per_sample_gradients(network: nn.Module, images: Tensor) -> Any:
    def loss_of(weights: dict[str, Tensor], image: Tensor) -> Tensor:
        return loss_of_weights(network, image[None])(weights)

    computed = torch.func.vmap(torch.func.grad(loss_of), (None, 0))(detached(network), images)
    return in_order(network, computed)


@tool()
def per_sample_gradients_of_images(network: nn.Module, images: Tensor) -> Any:
    return torch.func.vmap(torch.func.grad(lambda image: loss(network(image[None]))))(images)


@tool()
def func_jvp(network: nn.Module, images: Tensor) -> Any:
    return torch.func.jvp(network, (images,), (images.flip(0),))


@tool()
def func_jvp_in_training(network: nn.Module, images: Tensor) -> Any:
    network = torch.func.replace_all_batch_norm_modules_(network.train())
    return torch.func.jvp(network, (images,), (images.flip(0),))


@tool()
def func_vjp(network: nn.Module, images: Tensor) -> Any:
    numbers, pull = torch.func.vjp(lambda x: signature(network(x)), images)
    return numbers, pull(numbers.flip(0))


@tool()
def jacrev(network: nn.Module, images: Tensor) -> Any:
    compute, weight = of_norm(network, images)
    return torch.func.jacrev(compute)(weight)


@tool()
def jacfwd(network: nn.Module, images: Tensor) -> Any:
    compute, weight = of_norm(network, images)
    return torch.func.jacfwd(compute)(weight)


@tool()
def func_hessian(network: nn.Module, images: Tensor) -> Any:
    compute, weight = of_norm(network, images)
    return torch.func.hessian(lambda w: compute(w).sum())(weight)


@tool()
def hessian_reverse_over_reverse(network: nn.Module, images: Tensor) -> Any:
    compute, weight = of_norm(network, images)
    return torch.func.jacrev(torch.func.jacrev(lambda w: compute(w).sum()))(weight)


@tool()
def hvp_forward_over_reverse(network: nn.Module, images: Tensor) -> Any:
    slope = torch.func.grad(lambda x: loss(network(x)))
    return torch.func.jvp(slope, (images,), (images.flip(0),))


def two_jvps(network: nn.Module, images: Tensor) -> Any:
    output, first = torch.func.jvp(network, (images,), (images.flip(0),))
    return output, first, torch.func.jvp(network, (images,), (images.square(),))[1]


@tool(plain=two_jvps)
def linearize(network: nn.Module, images: Tensor) -> Any:
    output, push = torch.func.linearize(network, images)
    return output, push(images.flip(0)), push(images.square())


@tool()
def functional_call_with_other_weights(network: nn.Module, images: Tensor) -> Any:
    weights = {name: values * 0.9 for name, values in network.named_parameters()}
    return functional_call(network, weights, (images,))


@tool()
def functional_call_with_keywords(network: nn.Module, images: Tensor) -> Any:
    # The argument is called `x` in the network of the paper.
    (argument,) = network.forward.__code__.co_varnames[1:2]
    return functional_call(network, detached(network), (), {argument: images})


@tool()
def functional_call_keeps_running_statistics(network: nn.Module, images: Tensor) -> Any:
    network.train()
    buffers = {name: values.clone() for name, values in network.named_buffers()}
    output = functional_call(network, (detached(network), buffers), (images,))
    return output, list(buffers.values()), [values.clone() for values in network.buffers()]


@tool()
def ensemble(network: nn.Module, images: Tensor) -> Any:
    networks = [network, copy.deepcopy(network)]
    with torch.no_grad():
        for values in networks[1].parameters():
            values.mul_(0.9)
    weights, buffers = torch.func.stack_module_state(networks)

    def run(weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> Any:
        return functional_call(network, (weights, buffers), (images,))

    return torch.func.vmap(run)(weights, buffers)


@tool()
def gradients_of_an_ensemble(network: nn.Module, images: Tensor) -> Any:
    weights = {
        name: torch.stack([values, values * 0.9]) for name, values in detached(network).items()
    }
    computed = torch.func.vmap(torch.func.grad(loss_of_weights(network, images)))(weights)
    return in_order(network, computed)


@tool()
def functionalize(network: nn.Module, images: Tensor) -> Any:
    return torch.func.functionalize(network)(images)


@tool(makes_network=True)
def make_fx_graph(network: nn.Module, images: Tensor) -> Any:
    return make_fx(network)(images)


def gradient_of_flipped(network: nn.Module, images: Tensor) -> Any:
    return torch.func.grad(lambda x: loss(network(x)))(images.flip(0))


@tool(plain=gradient_of_flipped)
def make_fx_of_a_gradient(network: nn.Module, images: Tensor) -> Any:
    slope = torch.func.grad(lambda x: loss(network(x)))
    return make_fx(slope)(images)(images.flip(0))
