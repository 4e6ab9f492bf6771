"""Hooks on modules, tensors and the graph."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks

from tiramisu.models import Backbone
from torch_tools.tool import gradients, loss, tool, with_weights

GROUPS = (nn.ModuleDict, nn.ModuleList)
"""Containers that are never called."""


def callable_modules(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules that a forward pass has to call.

    A backbone runs a transition in two halves, so that only its parts are called.
    """
    halved = isinstance(network, Backbone) or type(network).__name__ == "PlainBackbone"
    return [
        (name, module)
        for name, module in network.named_modules()
        if not isinstance(module, GROUPS)
        and not (halved and "transition" in name.rpartition(".")[2])
    ]


class Seen:
    """What the hooks of one network have seen."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.names = {module: name for name, module in network.named_modules()}
        self.calls: Counter[str] = Counter()
        self.values: dict[str, Any] = {}

    def note(self, module: nn.Module, values: Any = None) -> None:
        name = self.names[module]
        self.calls[name] += 1
        self.values[name] = values

    def result(self) -> tuple[str, list[int], list[Any]]:
        """Modules without a call; and of those with weights, in order, calls and values."""
        missed = [name for name, _ in callable_modules(self.network) if not self.calls[name]]
        names = [name for name, _ in with_weights(self.network)]
        calls = [self.calls[name] for name in names]
        return ", ".join(missed), calls, [self.values.get(name) for name in names]


def first(values: Any) -> Any:
    """The only value of a tuple, or an output itself."""
    values = values[0] if isinstance(values, tuple) else values
    return values.detach().clone() if isinstance(values, Tensor) else None


@tool()
def forward_hooks(network: nn.Module, images: Tensor) -> Any:
    seen = Seen(network)
    for _, module in callable_modules(network):
        module.register_forward_hook(lambda m, args, output: seen.note(m, first(output)))
    return network(images), seen.result()


@tool()
def forward_hooks_in_training(network: nn.Module, images: Tensor) -> Any:
    seen = Seen(network.train())
    for _, module in callable_modules(network):
        module.register_forward_hook(lambda m, args, output: seen.note(m, first(output)))
    return gradients(network, images), seen.result()


@tool()
def forward_pre_hooks(network: nn.Module, images: Tensor) -> Any:
    seen = Seen(network)
    for _, module in callable_modules(network):
        module.register_forward_pre_hook(lambda m, args: seen.note(m, first(args)))
    return network(images), seen.result()


@tool()
def hooks_on_containers_only(network: nn.Module, images: Tensor) -> Any:
    seen = Seen(network)
    containers = [m for _, m in callable_modules(network) if next(m.children(), None) is not None]
    for module in containers:
        module.register_forward_hook(lambda m, args, output: seen.note(m))
    output = network(images)
    return output, sum(seen.calls[seen.names[module]] == 0 for module in containers)


@tool()
def full_backward_hooks(network: nn.Module, images: Tensor) -> Any:
    seen = Seen(network.train())
    for _, module in callable_modules(network):
        module.register_full_backward_hook(lambda m, inward, outward: seen.note(m, first(outward)))
    images.requires_grad_()
    return gradients(network, images), seen.result()


@tool()
def full_backward_pre_hooks(network: nn.Module, images: Tensor) -> Any:
    seen = Seen(network)
    for _, module in callable_modules(network):
        module.register_full_backward_pre_hook(lambda m, outward: seen.note(m, first(outward)))
    return gradients(network, images), seen.result()


@tool()
def backward_hook_changes_gradients(network: nn.Module, images: Tensor) -> Any:
    for _, module in with_weights(network):
        module.register_full_backward_hook(lambda m, inward, outward: (inward[0] * 0.9,))
    images.requires_grad_()
    return gradients(network, images), images.grad


@contextmanager
def removed(*handles: Any) -> Iterator[None]:
    """Remove hooks that hold for all modules."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@tool()
def global_forward_hook(network: nn.Module, images: Tensor) -> Any:
    seen = Seen(network)
    handle = module_hooks.register_module_forward_hook(
        lambda m, args, output: seen.note(m, first(output))
    )
    with removed(handle), torch.no_grad():
        network(images)
    return seen.result()


@tool()
def global_forward_pre_hook(network: nn.Module, images: Tensor) -> Any:
    seen = Seen(network.train())
    handle = module_hooks.register_module_forward_pre_hook(lambda m, args: seen.note(m))
    with removed(handle):
        network(images)
    return seen.result()


@tool()
def global_backward_hook(network: nn.Module, images: Tensor) -> Any:
    seen = Seen(network)
    handle = module_hooks.register_module_full_backward_hook(
        lambda m, inward, outward: seen.note(m, first(outward))
    )
    with removed(handle):
        loss(network(images.requires_grad_())).backward()
    return seen.result()


@tool()
def global_hook_counts_convolutions(network: nn.Module, images: Tensor) -> Any:
    def count(module: nn.Module, args: Any, output: Any) -> None:
        counts[type(module).__name__] += 1

    counts: Counter[str] = Counter()
    with removed(module_hooks.register_module_forward_hook(count)):
        network.train()(images)
    return [counts[name] for name in ("Conv2d", "ConvTranspose2d", "BatchNorm2d", "Linear")]


@tool()
def hook_changes_outputs(network: nn.Module, images: Tensor) -> Any:
    for _, module in with_weights(network):
        module.register_forward_hook(lambda m, args, output: output * 0.9)
    return network(images)


@tool()
def global_hook_changes_outputs(network: nn.Module, images: Tensor) -> Any:
    def change(module: nn.Module, args: Any, output: Any) -> Any:
        return output * 0.9 if isinstance(module, nn.Conv2d) else None

    with removed(module_hooks.register_module_forward_hook(change)):
        return network(images)


@tool()
def pre_hook_changes_inputs(network: nn.Module, images: Tensor) -> Any:
    for _, module in with_weights(network):
        module.register_forward_pre_hook(lambda m, args: (args[0] + 0.1,))
    return network(images)


@tool()
def hooks_with_keywords(network: nn.Module, images: Tensor) -> Any:
    seen = Seen(network)
    for _, module in callable_modules(network):
        module.register_forward_hook(
            lambda m, args, keywords, output: seen.note(m, len(keywords)), with_kwargs=True
        )
    network(images)
    return seen.result()


@tool()
def hooks_that_always_run(network: nn.Module, images: Tensor) -> Any:
    def fail(module: nn.Module, args: Any) -> None:
        raise KeyError("a broken hook")

    seen = Seen(network)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    for module in convolutions:
        module.register_forward_hook(
            lambda m, args, output: seen.note(m, first(output)), always_call=True
        )
    convolutions[-1].register_forward_pre_hook(fail)
    try:
        network(images)
    except KeyError:
        return [seen.calls[seen.names[module]] for module in convolutions]
    return "no error"


@tool()
def hook_that_is_removed_again(network: nn.Module, images: Tensor) -> Any:
    handles = [m.register_forward_hook(lambda *_: None) for m in network.modules()]
    before = network(images)
    for handle in handles:
        handle.remove()
    return before, network(images), gradients(network.train(), images)


@tool()
def hook_that_stops_the_network(network: nn.Module, images: Tensor) -> Any:
    class Found(Exception):  # noqa: N818 - no error
        pass

    def stop(module: nn.Module, args: Any, output: Tensor) -> None:
        raise Found(output)

    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    convolutions[4].register_forward_hook(stop)
    try:
        network(images)
    except Found as found:
        return found.args[0]
    return "not found"


@tool()
def tensor_hooks_on_parameters(network: nn.Module, images: Tensor) -> Any:
    for parameter in network.parameters():
        parameter.register_hook(lambda gradient: gradient * 2)
    return gradients(network.train(), images)


@tool()
def tensor_hooks_on_outputs_of_modules(network: nn.Module, images: Tensor) -> Any:
    def watch(module: nn.Module, args: Any, output: Tensor) -> None:
        output.register_hook(found.append)

    found: list[Tensor] = []
    for _, module in with_weights(network):
        module.register_forward_hook(watch)
    gradients(network, images)
    return found


@tool()
def post_accumulate_grad_hooks(network: nn.Module, images: Tensor) -> Any:
    def step(parameter: Tensor) -> None:
        assert parameter.grad is not None
        with torch.no_grad():
            parameter.sub_(parameter.grad, alpha=0.1)
        parameter.grad = None

    for parameter in network.parameters():
        parameter.register_post_accumulate_grad_hook(step)
    gradients(network.train(), images)
    return [parameter.detach() for parameter in network.parameters()]


@tool()
def multi_grad_hook(network: nn.Module, images: Tensor) -> Any:
    found: list[Any] = []
    torch.autograd.graph.register_multi_grad_hook(list(network.parameters()), found.extend)
    gradients(network, images)
    return found


@tool()
def grad_cam(network: nn.Module, images: Tensor) -> Any:
    def keep(module: nn.Module, args: Any, output: Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    kept: list[Tensor] = []
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    norms[-1].register_forward_hook(keep)
    loss(network(images)).backward()
    (features,) = kept
    assert features.grad is not None
    weights = features.grad.mean(dim=(2, 3), keepdim=True)
    return F.relu((weights * features).sum(dim=1)).detach(), features.grad


@tool()
def retain_grad_of_features(network: nn.Module, images: Tensor) -> Any:
    def keep(module: nn.Module, args: Any, output: Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    kept: list[Tensor] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(keep)
    loss(network.train()(images)).backward()
    return [output.grad for output in kept]


@tool()
def summary_by_hooks(network: nn.Module, images: Tensor) -> Any:
    rows = []

    def note(module: nn.Module, args: Any, output: Tensor) -> None:
        number = sum(values.numel() for values in module.parameters())
        rows.append([type(module).__name__, list(args[0].shape), list(output.shape), number])

    for _, module in with_weights(network):
        module.register_forward_hook(note)
    network(images)
    return rows
