"""Which way a block is computed: this is the one place that decides.

`forward` of a block is plain PyTorch. Another way to the same numbers stands in for it only where
no tool can see the difference: not for a tensor of another class, not under a hook, a mode or a
transform of torch.func, and not while a graph is traced. What remains to be seen: outputs are in
channels-last memory, dropout draws other random numbers, and in training an output must not be
changed in place.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from itertools import cycle
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as all_modules

from tiramisu.models.operators import ACTIVATIONS

Way = Literal["plain", "fused", "recomputing"]
"""plain: `forward`; fused: `fused`, on a CPU; recomputing: `recompute`, in less memory."""

STAGE = (nn.BatchNorm2d, nn.ReLU, nn.Conv2d, nn.Dropout)
"""The modules of a stage of the fused way, in order. A transposed convolution stands alone."""

RECOMPUTED = (
    (nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    tuple(ACTIVATIONS.values()),
    (nn.Conv2d, nn.Conv3d),
    (nn.Dropout,),
)
"""The modules of a stage of the recomputing way, in order."""

ORDINARY = (Tensor, nn.Parameter)
"""PyTorch's own classes of tensors: others may see every operation."""

_REPLACEABLE = [
    *((kind, "forward", kind.forward) for kind in (*STAGE, nn.ConvTranspose2d, nn.Sequential)),
    *(
        (F, name, getattr(F, name))
        for name in ("batch_norm", "relu", "conv2d", "conv_transpose2d", "dropout")
    ),
]
"""What some tools replace in PyTorch itself, to count or change operations."""


class Accelerated(nn.Module, ABC):
    """A block with faster ways to the numbers of its `forward`.

    They are taken in `__call__`, so that `forward` is nothing but the block's definition, which
    torch.fx and TorchScript can follow.
    """

    memory_efficient = False
    """Whether training saves memory, where the fused way, which always does, is not taken."""

    own_forward: Callable[..., Tensor]
    """`forward` as it was defined: some tools replace it."""
    compiles_fused = False
    """Whether the fused way is one operation for torch.compile, if no gradient is needed."""

    def __init_subclass__(cls) -> None:
        cls.own_forward = cls.forward

    def __call__(self, *inputs: Any, **named: Any) -> Tensor:
        """Run `forward`, or another way to its numbers."""
        match "plain" if named else choose_way(self, inputs):
            case "fused":
                return self.run_fused(*inputs)
            case "recomputing":
                return self.run_recomputing(*inputs)
        made: Tensor = super().__call__(*inputs, **named)
        return made

    def find_parts(self) -> list[nn.Module] | None:
        """The modules that the other ways run, stage by stage; None if something was replaced."""
        kind = type(self)
        is_own = kind in Accelerated.__subclasses__() and kind.forward is kind.own_forward
        return self.parts() if is_own else None

    @abstractmethod
    def parts(self) -> list[nn.Module] | None:
        """The same, where `forward` is the block's own."""

    @abstractmethod
    def run_fused(self, *inputs: Any) -> Tensor:
        """The numbers of `forward` by the fused functions for the CPU."""

    def run_recomputing(self, *inputs: Any) -> Tensor:
        """The numbers of `forward`; the backward pass computes what is cheap again, in stages."""
        raise NotImplementedError


def choose_way(block: Accelerated, inputs: Sequence[Any]) -> Way:
    """The fastest way through a block that nobody can tell from its `forward`.

    Args:
        inputs: the arguments of the call: tensors, and lists of tensors.
    """
    saves_memory = block.memory_efficient and torch.is_grad_enabled()
    if torch.compiler.is_exporting():
        return "plain"
    if torch.compiler.is_compiling():
        converts = inputs[0].dtype != next(block.parameters()).dtype
        is_plain = converts or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
        suits = block.compiles_fused and not is_plain and _suits_fused(inputs[0])
        if suits and not any(module.training for module in block.modules()):
            return "fused" if _can_compile(block, fused=True) else "plain"
        return "recomputing" if saves_memory and _can_compile(block, fused=False) else "plain"
    tensors = [tensor for each in inputs for tensor in (each if type(each) is list else [each])]
    if is_observed() or not all(map(is_ordinary, tensors)):
        return "plain"
    parts = block.find_parts()
    if parts is None or _has_hooks(block):
        return "plain"
    if all(map(_suits_fused, tensors)) and _can_fuse(parts, tensors):
        return "fused"
    return "recomputing" if saves_memory and _can_recompute(parts) else "plain"


def _can_compile(block: Accelerated, *, fused: bool) -> bool:
    """Whether another way through a block may stand in a graph, when it is compiled."""
    parts = block.find_parts()
    if parts is None or _has_hooks(block):
        return False
    return _can_fuse(parts, [next(block.parameters())]) if fused else _can_recompute(parts)


# What `torch.compiler.assume_constant_result` does, which would import the whole compiler.
_can_compile._dynamo_marked_constant = True  # type: ignore[attr-defined]


def arrange(network: nn.Module, images: Tensor) -> Tensor:
    """Images in the memory order of the fused way, channels-last, where nobody can see it."""
    if (
        torch.compiler.is_compiling()
        or not is_ordinary(images)
        or is_observed()
        or not _suits_fused(images)
        or _has_hooks(network)
    ):
        return images
    return images.contiguous(memory_format=torch.channels_last)


def is_ordinary(tensor: Tensor) -> bool:
    """Whether a tensor is PyTorch's own, and not a batch that `is_grads_batched` has made."""
    return type(tensor) in ORDINARY and not torch._C._functorch.is_legacy_batchedtensor(tensor)


def is_observed() -> bool:
    """Whether operations are traced, transformed or replaced, or all modules have a hook."""
    # PyTorch has no public functions for these; `torch.autograd.Function` asks in the same way.
    return bool(
        torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._len_torch_function_stack()
        or forward_ad._current_level >= 0
        or all_modules._has_any_global_hook()  # type: ignore[no-untyped-call]
        or any(getattr(owner, name) is not own for owner, name, own in _REPLACEABLE)
    )


def _has_hooks(module: nn.Module) -> bool:
    """Whether somebody sees or replaces the call of a module or of one of its parts."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or module._compiled_call_impl is not None
        or "forward" in module.__dict__
        or any(part is not None and _has_hooks(part) for part in module._modules.values())
    )


def _suits_fused(features: Tensor) -> bool:
    """Whether features are images that the fused functions can read.

    They run on a CPU, in full precision, or in bf16 where autocast asks for it and oneDNN has it
    for this processor; and batch norm refuses a single value per channel.
    """
    return (
        features.ndim == 4
        and features.device.type == "cpu"
        and features.layout == torch.strided
        and features.dtype in _list_types()
        and features.numel() > features.shape[1]
    )


def _list_types() -> tuple[torch.dtype, ...]:
    """The types of features that the fused functions take at present; none for another autocast."""
    if not torch.is_autocast_enabled("cpu"):
        return torch.float32, torch.float64
    is_bf16 = torch.get_autocast_dtype("cpu") == torch.bfloat16
    return (torch.float32, torch.bfloat16) if is_bf16 and _computes_in_bf16() else ()


@cache
def _computes_in_bf16() -> bool:
    """Whether oneDNN has convolutions in bf16 for this processor: from AVX-512 on."""
    return torch._C._has_mkldnn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _can_recompute(parts: list[nn.Module]) -> bool:
    """Whether modules form stages that may be repeated in the backward pass."""
    return len(parts) % len(RECOMPUTED) == 0 and all(
        type(part) in kinds for part, kinds in zip(parts, cycle(RECOMPUTED), strict=False)
    )


def _can_fuse(parts: list[nn.Module], inputs: Sequence[Tensor]) -> bool:
    """Whether modules form stages of the usual settings, with ordinary tensors of one type."""
    kinds = [type(part) for part in parts]
    are_stages = kinds == [*STAGE] * (len(parts) // len(STAGE))
    if not (are_stages or kinds == [nn.ConvTranspose2d]) or not all(map(_is_usual, parts)):
        return False
    tensors = [
        tensor
        for part in parts
        for own in (part._parameters, part._buffers)
        for name, tensor in own.items()
        if tensor is not None and name != "num_batches_tracked"
    ]
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.float32
    else:
        dtype = inputs[0].dtype
        tensors.extend(inputs)
    return all(
        type(tensor) in ORDINARY and tensor.dtype == dtype and tensor.is_cpu for tensor in tensors
    )


def _is_usual(part: nn.Module) -> bool:
    """Whether a module has the settings that stages support."""
    if isinstance(part, nn.Conv2d):
        margin = part.kernel_size[0] // 2
        return (
            part.kernel_size in ((1, 1), (3, 3))
            and part.padding == (margin, margin)
            and part.stride == part.dilation == (1, 1)
            and part.groups == 1
            and part.padding_mode == "zeros"
        )
    if isinstance(part, nn.ConvTranspose2d):
        return (
            part.kernel_size == (3, 3)
            and part.stride == (2, 2)
            and part.padding == part.output_padding == (0, 0)
            and part.dilation == (1, 1)
            and part.groups == 1
            and part.padding_mode == "zeros"
        )
    if isinstance(part, nn.BatchNorm2d):
        statistics = [part.running_mean, part.running_var, part.num_batches_tracked]
        missing = [tensor is None for tensor in statistics]
        return part.weight is not None and part.bias is not None and len(set(missing)) == 1
    return True
