"""Tensors of other classes, and modes that see or change every call."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only
from torch.utils.flop_counter import FlopCounterMode

from torch_tools.networks import new_like
from torch_tools.tool import loss, tensors, tool, with_weights

CONVOLUTIONS = ("conv2d", "conv_transpose2d")


class Named(Tensor):
    """A tensor that carries a name along, as MONAI's tensors carry their meta data."""

    name_of_image: str

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = super().__torch_function__(func, types, args, kwargs or {})
        given = tree_leaves((args, kwargs))
        names = [arg.name_of_image for arg in given if isinstance(arg, cls) and arg.has_name()]
        for made in result if isinstance(result, list | tuple) else [result]:
            if isinstance(made, cls) and names:
                made.name_of_image = names[0]
        return result

    def has_name(self) -> bool:
        return "name_of_image" in self.__dict__


class Wrapped(Tensor):
    """A tensor that holds another and runs every operation on that one."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Wrapped":
        wrapped: Wrapped = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            dtype=inner.dtype,
            device=inner.device,
            requires_grad=inner.requires_grad,
        )
        return wrapped

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner.detach()

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"Wrapped({self.inner})"

    @classmethod
    def __torch_dispatch__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        plain = tree_map_only(Wrapped, lambda wrapped: wrapped.inner, (args, kwargs or {}))
        result = tree_map_only(Tensor, Wrapped, func(*plain[0], **plain[1]))
        return return_and_correct_aliasing(func, args, kwargs or {}, result)


@tool()
def torch_function_subclass(network: nn.Module, images: Tensor) -> Any:
    output = tensors(network(images.as_subclass(Named)))
    return [type(part).__name__ for part in output], [part.as_subclass(Tensor) for part in output]


@tool()
def meta_data_of_a_subclass(network: nn.Module, images: Tensor) -> Any:
    named = images.as_subclass(Named)
    named.name_of_image = "street"
    with torch.no_grad():
        output = tensors(network(named))
    return [part.name_of_image for part in output if isinstance(part, Named)], len(output)


@tool()
def gradient_of_a_subclass(network: nn.Module, images: Tensor) -> Any:
    named = images.as_subclass(Named).requires_grad_()
    loss(network.train()(named)).backward()
    return named.grad.as_subclass(Tensor), [values.grad for values in network.parameters()]


@tool()
def subclass_of_only_images_disabled(network: nn.Module, images: Tensor) -> Any:
    with torch._C.DisableTorchFunctionSubclass():
        return network(images.as_subclass(Named))


@tool()
def wrapper_subclass(network: nn.Module, images: Tensor) -> Any:
    with torch.no_grad():
        output = tensors(network(Wrapped(images)))
    return [type(part).__name__ for part in output], [part.inner for part in output]


@tool()
def wrapper_subclass_with_gradients(network: nn.Module, images: Tensor) -> Any:
    wrapped = Wrapped(images).requires_grad_()
    (slope,) = torch.autograd.grad(loss(network(wrapped)), wrapped)
    return slope.inner


@tool()
def wrapped_weights(network: nn.Module, images: Tensor) -> Any:
    weights = {name: Wrapped(values.detach()) for name, values in network.named_parameters()}
    buffers = {name: Wrapped(values) for name, values in network.named_buffers()}
    with torch.no_grad():
        output = torch.func.functional_call(network, weights | buffers, (Wrapped(images),))
    return [part.inner for part in tensors(output)]


@tool()
def parameter_as_images(network: nn.Module, images: Tensor) -> Any:
    parameter = nn.Parameter(images)
    loss(network(parameter)).backward()
    return parameter.grad


@tool()
def function_mode_counts_convolutions(network: nn.Module, images: Tensor) -> Any:
    class Count(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            seen[getattr(func, "__name__", "")] += 1
            return func(*args, **(kwargs or {}))

    seen: Counter[str] = Counter()
    with Count(), torch.no_grad():
        output = network(images)
    return [seen[name] for name in CONVOLUTIONS], output


@tool()
def function_mode_changes_activations(network: nn.Module, images: Tensor) -> Any:
    class LeakyRelu(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func in (torch.relu, F.relu):
                return F.leaky_relu(args[0], 0.3)
            return func(*args, **(kwargs or {}))

    with LeakyRelu():
        return network(images)


def record_convolutions(network: nn.Module, images: Tensor) -> list[Tensor]:
    """The results of all convolutions, seen below autograd."""

    class Record(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            if func is torch.ops.aten.convolution.default:
                seen.append(result.detach().clone())
            return result

    seen: list[Tensor] = []
    with Record():
        network(images)
    return seen


@tool()
def dispatch_mode_in_evaluation(network: nn.Module, images: Tensor) -> Any:
    return record_convolutions(network, images)


@tool()
def dispatch_mode_without_gradients(network: nn.Module, images: Tensor) -> Any:
    with torch.no_grad():
        return record_convolutions(network, images)


@tool()
def dispatch_mode_in_training(network: nn.Module, images: Tensor) -> Any:
    return record_convolutions(network.train(), images)


@tool()
def dispatch_mode_changes_convolutions(network: nn.Module, images: Tensor) -> Any:
    class Rounded(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func is torch.ops.aten.convolution.default:
                args = (args[0], (args[1] * 8).round() / 8, *args[2:])
            return func(*args, **(kwargs or {}))

    with Rounded(), torch.no_grad():
        return network(images)


@tool()
def fake_tensors(network: nn.Module, images: Tensor) -> Any:
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        output = tensors(network(mode.from_tensor(images)))
    return [(type(part).__name__, tuple(part.shape), str(part.dtype)) for part in output]


@tool()
def fake_tensors_in_training(network: nn.Module, images: Tensor) -> Any:
    with FakeTensorMode():
        fake = new_like(network)
        loss(fake(torch.empty(images.shape))).backward()
        grads = [parameter.grad for parameter in fake.parameters()]
    return [(type(grad).__name__, tuple(grad.shape)) for grad in grads if grad is not None]


@tool()
def meta_images(network: nn.Module, images: Tensor) -> Any:
    return network.to("meta")(images.to("meta"))


@tool()
def meta_device_context(network: nn.Module, images: Tensor) -> Any:
    with torch.device("meta"):
        built = new_like(network)
        output = built(torch.empty(images.shape))
    return output, [values.device.type for values in built.state_dict().values()]


@tool()
def default_device(network: nn.Module, images: Tensor) -> Any:
    torch.set_default_device("cpu")
    try:
        return network.train()(images)
    finally:
        torch.set_default_device(None)


@tool()
def default_dtype(network: nn.Module, images: Tensor) -> Any:
    torch.set_default_dtype(torch.float64)
    try:
        built = new_like(network)
        built.load_state_dict(network.state_dict())
        return built.eval()(images)
    finally:
        torch.set_default_dtype(torch.float32)


@tool()
def flops(network: nn.Module, images: Tensor) -> Any:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images)
    return counter.get_total_flops()


@tool()
def flops_with_backward(network: nn.Module, images: Tensor) -> Any:
    with FlopCounterMode(display=False) as counter:
        loss(network.train()(images)).backward()
    return counter.get_total_flops()


def flops_of(network: nn.Module, images: Tensor) -> list[tuple[str, int]]:
    """The rows of the modules that have weights, in order, and the total."""
    with FlopCounterMode(display=False, depth=None) as counter:
        loss(network(images))
    rows = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
    root = type(network).__name__
    return [
        (type(module).__name__, rows.get(f"{root}.{name}", 0))
        for name, module in with_weights(network)
    ] + [("total", rows["Global"])]


@tool()
def flops_by_module(network: nn.Module, images: Tensor) -> Any:
    return flops_of(network, images)


@tool()
def flops_by_module_in_training(network: nn.Module, images: Tensor) -> Any:
    return flops_of(network.train(), images)


@tool()
def numpy_round_trip(network: nn.Module, images: Tensor) -> Any:
    with torch.no_grad():
        output = network(torch.from_numpy(images.numpy()))
    return tree_map(lambda part: torch.from_numpy(part.numpy()), output)
