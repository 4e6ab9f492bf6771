"""Images in every layout, size and state that a network may be given."""

from typing import Any

import torch
from torch import Tensor, nn

from torch_tools.tool import gradients, loss, tensors, tool


def in_both_modes(network: nn.Module, images: Tensor) -> Any:
    """Output in evaluation, and gradients in training."""
    return network(images), gradients(network.train(), images)


@tool()
def channels_last_images(network: nn.Module, images: Tensor) -> Any:
    return in_both_modes(network, images.contiguous(memory_format=torch.channels_last))


@tool()
def transposed_images(network: nn.Module, images: Tensor) -> Any:
    return in_both_modes(network, images.mT.contiguous().mT)


@tool()
def sliced_images(network: nn.Module, images: Tensor) -> Any:
    larger = images.repeat(1, 2, 2, 2)
    return in_both_modes(network, larger[:, 1:4, 3:-2, ::2][..., : images.shape[3]])


@tool()
def expanded_images(network: nn.Module, images: Tensor) -> Any:
    return in_both_modes(network, images[:1].expand(3, -1, -1, -1))


@tool()
def gray_images_as_colors(network: nn.Module, images: Tensor) -> Any:
    return in_both_modes(network, images[:, :1].expand(-1, 3, -1, -1))


@tool()
def images_of_another_dtype(network: nn.Module, images: Tensor) -> Any:
    """Refused, as by every convolution."""
    try:
        return network(images.float())
    except RuntimeError:
        return "refused"


@tool()
def one_image_in_training(network: nn.Module, images: Tensor) -> Any:
    return in_both_modes(network, images[:1])


@tool()
def no_images(network: nn.Module, images: Tensor) -> Any:
    return [list(part.shape) for part in tensors(network(images[:0]))]


@tool()
def no_images_with_gradients(network: nn.Module, images: Tensor) -> Any:
    for part in tensors(network(images[:0])):
        part.sum().backward(retain_graph=True)
    return [list(torch.as_tensor(p.grad).shape) for p in network.parameters()]


@tool()
def images_stay_as_they_are(network: nn.Module, images: Tensor) -> Any:
    before = images.clone()
    gradients(network.train(), images)
    return torch.equal(before, images)


@tool(unfit={"Backbone": "an activation keeps its output for the backward pass"})
def outputs_may_be_changed_in_place(network: nn.Module, images: Tensor) -> Any:
    output = tensors(network.train()(images))
    loss([part.mul_(0.5) for part in output[-1:]]).backward()
    return [parameter.grad for parameter in network.parameters()]


@tool()
def not_a_number(network: nn.Module, images: Tensor) -> Any:
    images[0, 0, 0, 0] = torch.nan
    with torch.no_grad():
        return [part.isnan() for part in tensors(network(images))]


@tool()
def images_from_another_network(network: nn.Module, images: Tensor) -> Any:
    before = nn.Conv2d(3, 3, 3, padding=1).double()
    loss(network.train()(before(images))).backward()
    return [parameter.grad for parameter in before.parameters()]


@tool()
def network_inside_another(network: nn.Module, images: Tensor) -> Any:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> list[Tensor]:
            both = zip(
                tensors(self.network(images)), tensors(self.network(images.flip(3))), strict=True
            )
            return [mine + other for mine, other in both]

    return gradients(Twice().train(), images)


@tool()
def outputs_from_two_threads(network: nn.Module, images: Tensor) -> Any:
    halves = torch.jit.fork(network, images), torch.jit.fork(network, images.flip(0))
    return [torch.jit.wait(half) for half in halves]
