"""Derivatives of first and higher order, by autograd."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.autograd import functional as AF
from torch.autograd.gradcheck import gradcheck, gradgradcheck

from torch_tools.tool import gradients, loss, of_norm, signature, state, tensors, tool


def second_derivatives(network: nn.Module, images: Tensor) -> list[Tensor | None]:
    """Gradients of the length of the gradient."""
    parameters = list(network.parameters())
    first = torch.autograd.grad(loss(network(images)), parameters, create_graph=True)
    length = torch.stack([gradient.square().sum() for gradient in first]).sum()
    return list(torch.autograd.grad(length, parameters, allow_unused=True))


@tool()
def backward_in_evaluation(network: nn.Module, images: Tensor) -> Any:
    return gradients(network, images)


@tool()
def backward_in_training(network: nn.Module, images: Tensor) -> Any:
    return gradients(network.train(), images), state(network)


@tool()
def gradient_of_images(network: nn.Module, images: Tensor) -> Any:
    images.requires_grad_()
    return torch.autograd.grad(loss(network(images)), images)


@tool()
def backward_twice_with_retain_graph(network: nn.Module, images: Tensor) -> Any:
    value = loss(network.train()(images))
    value.backward(retain_graph=True)
    value.backward()
    return [parameter.grad for parameter in network.parameters()]


@tool()
def double_backward_in_evaluation(network: nn.Module, images: Tensor) -> Any:
    return second_derivatives(network, images)


@tool()
def double_backward_in_training(network: nn.Module, images: Tensor) -> Any:
    return second_derivatives(network.train(), images)


@tool()
def third_derivative(network: nn.Module, images: Tensor) -> Any:
    factor = torch.tensor(1.0, dtype=torch.double, requires_grad=True)
    value = loss(network(images * factor))
    derivatives = []
    for _ in range(3):
        (value,) = torch.autograd.grad(value, factor, create_graph=True)
        derivatives.append(value.detach())
    return derivatives


@tool()
def gradient_penalty(network: nn.Module, images: Tensor) -> Any:
    network.train()
    images.requires_grad_()
    (slope,) = torch.autograd.grad(loss(network(images)), images, create_graph=True)
    (slope.flatten(1).norm(dim=1) - 1).square().mean().backward()
    return images.grad, [parameter.grad for parameter in network.parameters()]


@tool()
def hvp_of_images(network: nn.Module, images: Tensor) -> Any:
    return AF.hvp(lambda x: loss(network(x)), images, images.flip(0))


@tool()
def vhp_of_images(network: nn.Module, images: Tensor) -> Any:
    return AF.vhp(lambda x: loss(network(x)), images, images.flip(0))


@tool()
def hessian(network: nn.Module, images: Tensor) -> Any:
    compute, weight = of_norm(network, images)
    return AF.hessian(lambda w: compute(w).sum(), weight)


@tool()
def hessian_vectorized(network: nn.Module, images: Tensor) -> Any:
    compute, weight = of_norm(network, images)
    return AF.hessian(lambda w: compute(w).sum(), weight, vectorize=True)


@tool()
def hessian_forward_over_reverse(network: nn.Module, images: Tensor) -> Any:
    # A norm of the last block: this mode does not support max pooling.
    compute, weight = of_norm(network, images, index=-2)
    return AF.hessian(
        lambda w: compute(w).sum(),
        weight,
        vectorize=True,
        outer_jacobian_strategy="forward-mode",
    )


@tool()
def jacobian(network: nn.Module, images: Tensor) -> Any:
    return AF.jacobian(*of_norm(network, images))


@tool()
def jacobian_in_training(network: nn.Module, images: Tensor) -> Any:
    return AF.jacobian(*of_norm(network.train(), images))


@tool()
def jacobian_with_graph(network: nn.Module, images: Tensor) -> Any:
    compute, weight = of_norm(network, images)
    weight.requires_grad_()
    AF.jacobian(compute, weight, create_graph=True).square().sum().backward()
    return weight.grad


@tool()
def jacobian_vectorized(network: nn.Module, images: Tensor) -> Any:
    return AF.jacobian(*of_norm(network, images), vectorize=True)


@tool()
def jacobian_forward_mode(network: nn.Module, images: Tensor) -> Any:
    # As above.
    compute, weight = of_norm(network, images, index=-2)
    return AF.jacobian(compute, weight, vectorize=True, strategy="forward-mode")


@tool()
def jvp_by_double_backward(network: nn.Module, images: Tensor) -> Any:
    return AF.jvp(lambda x: signature(network(x)), images, images.flip(0))


@tool()
def vjp_of_images(network: nn.Module, images: Tensor) -> Any:
    with torch.no_grad():
        direction = signature(network(images)).flip(0)
    return AF.vjp(lambda x: signature(network(x)), images, direction)


@tool()
def batched_gradients(network: nn.Module, images: Tensor) -> Any:
    numbers = signature(network.train()(images))
    directions = torch.eye(len(numbers), dtype=torch.double)[:3]
    return torch.autograd.grad(
        numbers, list(network.parameters()), directions, is_grads_batched=True
    )


@tool()
def forward_mode_of_images(network: nn.Module, images: Tensor) -> Any:
    with forward_ad.dual_level():
        output = network(forward_ad.make_dual(images, images.flip(0)))
        return [forward_ad.unpack_dual(values).tangent.clone() for values in tensors(output)]


@tool()
def forward_mode_in_training(network: nn.Module, images: Tensor) -> Any:
    network.train()
    with forward_ad.dual_level():
        output = network(forward_ad.make_dual(images, images.flip(0)))
        return [forward_ad.unpack_dual(values).tangent.clone() for values in tensors(output)]


@tool()
def forward_mode_of_weights(network: nn.Module, images: Tensor) -> Any:
    compute, weight = of_norm(network, images)
    with forward_ad.dual_level():
        numbers = compute(forward_ad.make_dual(weight, weight.flip(0)))
        return forward_ad.unpack_dual(numbers).tangent.clone()


@tool()
def forward_over_reverse(network: nn.Module, images: Tensor) -> Any:
    images.requires_grad_()
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(images, images.detach().flip(0))
        (slope,) = torch.autograd.grad(loss(network(dual)), dual, create_graph=True)
        return forward_ad.unpack_dual(slope).tangent.detach().clone()


@tool()
def gradcheck_in_evaluation(network: nn.Module, images: Tensor) -> Any:
    compute, weight = of_norm(network, images)
    return gradcheck(compute, weight.requires_grad_()), compute(weight)


@tool()
def gradcheck_in_training(network: nn.Module, images: Tensor) -> Any:
    compute, weight = of_norm(network.train(), images)
    return gradcheck(compute, weight.requires_grad_()), compute(weight)


@tool()
def gradcheck_of_forward_mode(network: nn.Module, images: Tensor) -> Any:
    compute, weight = of_norm(network, images)
    checked = gradcheck(
        compute, weight.requires_grad_(), check_forward_ad=True, check_backward_ad=False
    )
    return checked, compute(weight)


@tool()
def gradgradcheck_of_weights(network: nn.Module, images: Tensor) -> Any:
    compute, weight = of_norm(network, images)
    checked = gradgradcheck(lambda w: compute(w).sum(), weight.requires_grad_())
    return checked, compute(weight)
