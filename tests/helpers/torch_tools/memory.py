"""What autograd keeps: checkpoints, packed and offloaded tensors; and modes of running."""

import io
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import graph
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from tiramisu.models import DenseBlock, DenseLayer, TransitionDown
from torch_tools.tool import gradients, loss, state, tensors, tool


class Checkpointed(nn.Module):
    """A network of which nothing is kept for the backward pass."""

    def __init__(self, network: nn.Module, **settings: Any) -> None:
        super().__init__()
        self.network = network
        self.settings = settings

    def forward(self, images: Tensor) -> Any:
        output = checkpoint(lambda x: tuple(tensors(self.network(x))), images, **self.settings)
        return list(output)


@tool()
def checkpoint_not_reentrant(network: nn.Module, images: Tensor) -> Any:
    return gradients(Checkpointed(network.train(), use_reentrant=False), images), state(network)


@tool()
def checkpoint_reentrant(network: nn.Module, images: Tensor) -> Any:
    images.requires_grad_()
    found = gradients(Checkpointed(network, use_reentrant=True), images)
    return found, images.grad


@tool()
def checkpoint_with_second_derivatives(network: nn.Module, images: Tensor) -> Any:
    images.requires_grad_()
    output = Checkpointed(network, use_reentrant=False)(images)
    (slope,) = torch.autograd.grad(loss(output), images, create_graph=True)
    slope.square().sum().backward()
    return images.grad, [parameter.grad for parameter in network.parameters()]


@tool()
def selective_checkpoint(network: nn.Module, images: Tensor) -> Any:
    def policy(context: Any, operator: Any, *args: Any, **keywords: Any) -> CheckpointPolicy:
        saved = operator is torch.ops.aten.convolution.default
        return CheckpointPolicy.MUST_SAVE if saved else CheckpointPolicy.PREFER_RECOMPUTE

    def contexts() -> Any:
        return create_selective_checkpoint_contexts(policy)

    wrapped = Checkpointed(network.train(), use_reentrant=False, context_fn=contexts)
    return gradients(wrapped, images)


@tool()
def checkpoint_of_each_part(network: nn.Module, images: Tensor) -> Any:
    def wrap(module: nn.Module) -> None:
        original = module.forward
        module.forward = lambda *args: checkpoint(original, *args, use_reentrant=False)

    for module in network.modules():
        # Only of ours: torchvision's layers take a list that they change.
        if isinstance(module, DenseBlock | DenseLayer | TransitionDown):
            wrap(module)
    return gradients(network, images)


@tool()
def saved_tensors_hooks(network: nn.Module, images: Tensor) -> Any:
    def pack(tensor: Tensor) -> bytes:
        file = io.BytesIO()
        torch.save(tensor.detach(), file)
        return file.getvalue()

    with graph.saved_tensors_hooks(pack, lambda packed: torch.load(io.BytesIO(packed))):
        value = loss(network.train()(images))
    value.backward()
    return [parameter.grad for parameter in network.parameters()]


@tool()
def saved_tensors_can_be_changed(network: nn.Module, images: Tensor) -> Any:
    # Without its convolutions' inputs, the gradients of all weights are zero.
    with graph.saved_tensors_hooks(torch.zeros_like, lambda tensor: tensor):
        value = loss(network(images))
    value.backward()
    return [
        parameter.grad for parameter in network.parameters() if parameter.ndim == 4
    ], value.detach()


@tool()
def save_on_cpu(network: nn.Module, images: Tensor) -> Any:
    with graph.save_on_cpu(pin_memory=False):
        value = loss(network.train()(images))
    value.backward()
    return [parameter.grad for parameter in network.parameters()]


@tool()
def saved_tensors_may_be_mutated(network: nn.Module, images: Tensor) -> Any:
    with graph.allow_mutation_on_saved_tensors():
        value = loss(network(images))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(0.5)
        value.backward()
    return [parameter.grad for parameter in network.parameters()]


@tool()
def mutation_is_noticed(network: nn.Module, images: Tensor) -> Any:
    value = loss(network(images))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.5)
    try:
        value.backward()
    except RuntimeError as error:
        return "modified by an inplace operation" in str(error)
    return False


@tool()
def graph_ends_at_parameters(network: nn.Module, images: Tensor) -> Any:
    """The parameters that a walk along the graph finds, as tools that draw it do."""
    found, waiting = set(), [loss(network(images)).grad_fn]
    visited = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        found.add(getattr(node, "variable", None))
        waiting.extend(following for following, _ in node.next_functions)
    return [any(parameter is other for other in found) for parameter in network.parameters()]


@tool()
def anomaly_mode(network: nn.Module, images: Tensor) -> Any:
    with torch.autograd.detect_anomaly(check_nan=True):
        return gradients(network.train(), images)


@tool()
def deterministic_algorithms(network: nn.Module, images: Tensor) -> Any:
    torch.use_deterministic_algorithms(True)
    try:
        return gradients(network.train(), images)
    finally:
        torch.use_deterministic_algorithms(False)


@tool()
def inference_mode(network: nn.Module, images: Tensor) -> Any:
    with torch.inference_mode():
        output = tensors(network(images))
    return [part.is_inference() for part in output], [part.clone() for part in output]


@tool()
def inference_mode_of_training(network: nn.Module, images: Tensor) -> Any:
    with torch.inference_mode():
        output = [part.clone() for part in tensors(network.train()(images))]
    return output, state(network)


@tool()
def trains_after_inference_mode(network: nn.Module, images: Tensor) -> Any:
    with torch.inference_mode():
        network(images)
    return gradients(network.train(), images)


@tool()
def no_grad(network: nn.Module, images: Tensor) -> Any:
    with torch.no_grad():
        output = tensors(network(images))
    return [part.requires_grad for part in output], output


@tool()
def no_grad_in_training(network: nn.Module, images: Tensor) -> Any:
    with torch.no_grad():
        return network.train()(images), state(network)


@tool()
def grad_mode_switched_on_inside(network: nn.Module, images: Tensor) -> Any:
    with torch.no_grad(), torch.enable_grad():
        return gradients(network, images)


def operators_seen(network: nn.Module, images: Tensor) -> Sequence[int]:
    with profile(activities=[ProfilerActivity.CPU]) as profiler, record_function("network"):
        loss(network(images)).backward()
    counts = {event.key: event.count for event in profiler.key_averages()}
    # On a CPU a transposed convolution runs as the gradient of a convolution.
    return [counts.get(key, 0) for key in ("network", "aten::conv2d")]


@tool()
def profiler(network: nn.Module, images: Tensor) -> Any:
    return operators_seen(network, images)


@tool()
def profiler_in_training(network: nn.Module, images: Tensor) -> Any:
    return operators_seen(network.train(), images)


@tool()
def single_threaded_backward(network: nn.Module, images: Tensor) -> Any:
    with torch.autograd.set_multithreading_enabled(False):
        return gradients(network, images)


@tool()
def some_gradients_only(network: nn.Module, images: Tensor) -> Any:
    parameters = list(network.parameters())
    loss(network.train()(images)).backward(inputs=parameters[3:6])
    return [parameter.grad for parameter in parameters]


@tool(rtol=0.05, atol=0.05)
def autocast(network: nn.Module, images: Tensor) -> Any:
    network.float()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        output = tensors(network(images.float()))
    return [str(part.dtype) for part in output], torch.cat([part.flatten() for part in output])


@tool(rtol=0.1, atol=0.1)
def autocast_with_gradients(network: nn.Module, images: Tensor) -> Any:
    network.float().train()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(network(images.float()))
    value.backward()
    found = torch.stack([torch.as_tensor(p.grad).norm() for p in network.parameters()])
    return [str(torch.as_tensor(p.grad).dtype) for p in network.parameters()], found


@tool()
def autocast_switched_off_inside(network: nn.Module, images: Tensor) -> Any:
    with torch.autocast("cpu", torch.bfloat16), torch.autocast("cpu", enabled=False):
        return gradients(network.train(), images)
