"""Dense layers on the CPU: the same numbers as layer by layer, with much less memory traffic.

Layer by layer, a dense layer moves the whole stack through memory four times (concatenation, batch
norm, ReLU, convolution) to make k channels, and autograd keeps the copies. Here

- the stack is one channels-last buffer, and a layer writes its k channels after those it has read;
- the batch statistics of a channel are computed once, when it is made, and shared by all layers;
- BN and ReLU run on pieces that stay in the cache until the convolution has read them. The backward
  pass computes them again: only outputs of convolutions and masks of dropout are kept;
- in the backward pass a 3x3 convolution is a 1x1 convolution to nine times as many channels, which
  are then shifted and summed. So the gradient of a pixel does not need its neighbours, each piece
  can be computed alone, and both gradients are large matrix products, where k channels are too few
  for a fast convolution.

Without gradients, `folded` is used, which needs even less.

Tensors here are (B, H, W, C), the order of channels-last memory. Other modules see them permuted to
(B, C, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tiramisu.models.fast import folded
from tiramisu.models.fast.stages import (
    Features,
    Gradients,
    Stage,
    Step,
    new_stack,
    run_stage,
    undo_stage,
    uses_batch,
)

KINDS = (nn.BatchNorm2d, nn.ReLU, nn.Conv2d, nn.Dropout)
"""The modules of a stage, in order."""


def suits(features: Tensor) -> bool:
    """Whether the fused functions can be used for features (B, C, H, W).

    They cannot for volumes, on other devices, at mixed precision, while a graph is traced or
    exported, or where batch norm would refuse its input.
    """
    return (
        features.ndim == 4
        and features.device.type == "cpu"
        and features.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_exporting()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        and features.numel() > features.shape[1]
    )


def arrange(images: Tensor) -> Tensor:
    """Images in the memory layout that is fastest for the fused layers."""
    return images.contiguous(memory_format=torch.channels_last) if suits(images) else images


def are_plain(parts: Sequence[nn.Module]) -> bool:
    """Whether fused stages may replace the modules of a layer: none was replaced or has a hook."""
    return len(parts) % 4 == 0 and all(
        type(part) is kind and _is_usual(part) and not is_hooked(part)
        for part, kind in zip(parts, cycle(KINDS), strict=False)
    )


def is_hooked(module: nn.Module) -> bool:
    """Whether a module has hooks."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
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
    return not isinstance(part, nn.BatchNorm2d) or part.affine


def dense_block(features: Sequence[Tensor], layers: Sequence[Sequence[Stage]]) -> Tensor:
    """Run a dense block: C channels, in parts -> the stack (B, C + L * k, H, W), channels-last.

    Args:
        features: input of the block, in parts (B, C1, H, W), (B, C2, H, W), ...
        layers: for each dense layer, its stages: one, or two with a bottleneck.
    """
    if folded.suits(layers):
        return folded.run_layers(features, layers).permute(0, 3, 1, 2)
    parameters = [p for layer in layers for stage in layer for p in stage.parameters]
    stack: Tensor = _DenseBlock.apply(layers, len(features), *features, *parameters)
    return stack


def norm_relu_conv(features: Tensor, stage: Stage) -> Tensor:
    """Run one stage by itself: (B, C, H, W) -> (B, K, H, W), channels-last."""
    convolved: Tensor = _NormReluConv.apply(features, stage, *stage.parameters)
    return convolved


class _DenseBlock(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, layers: Sequence[Sequence[Stage]], num_features: int, *tensors: Tensor
    ) -> Tensor:
        features = tensors[:num_features]
        stack, steps = _run_layers(features, layers)
        out = stack.values.permute(0, 3, 1, 2)
        ctx.layers = layers
        ctx.widths = [part.shape[1] for part in features]
        _save(ctx, steps, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        steps, out = _restore(ctx)
        values = out.permute(0, 2, 3, 1)
        stack = Gradients(torch.empty_like(values).copy_(gradient.permute(0, 2, 3, 1)), values)
        of_parameters: list[Tensor | None] = []
        end = values.shape[3]
        for first, *others in reversed(ctx.layers):
            start = end - [first, *others][-1].conv.out_channels
            made = stack.settle(start, end)
            for stage in reversed(others):
                step = steps.pop()
                narrow = Gradients(torch.zeros_like(step.source), step.source)
                of_parameters[:0] = undo_stage(stage, step, made, narrow)
                made = narrow.settle(0, narrow.values.shape[3])
            of_parameters[:0] = undo_stage(first, steps.pop(), made, stack)
            end = start
        of_features = torch.split(stack.settle(0, end).permute(0, 3, 1, 2), ctx.widths, dim=1)
        return None, None, *of_features, *of_parameters


class _NormReluConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, stage: Stage, *_parameters: Tensor) -> Tensor:
        batch, width, *size = features.shape
        source = Features(features.permute(0, 2, 3, 1), measured=uses_batch(stage.norm))
        source.measure(0, width)
        made = features.new_empty(batch, *size, stage.conv.out_channels)
        step = run_stage(stage, source, width, out=made)
        ctx.stage = stage
        _save(ctx, [step])
        return made.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (step,), _ = _restore(ctx)
        source = Gradients(torch.zeros_like(step.source), step.source)
        of_parameters = undo_stage(ctx.stage, step, gradient.permute(0, 2, 3, 1), source)
        return source.settle(0, step.source.shape[3]).permute(0, 3, 1, 2), None, *of_parameters


def _run_layers(
    features: Sequence[Tensor], layers: Sequence[Sequence[Stage]]
) -> tuple[Features, list[Step]]:
    """Compute the stack of a dense block; also returns what the backward pass needs."""
    values, width = new_stack(features, layers)
    stack = Features(values, measured=any(uses_batch(layer[0].norm) for layer in layers))
    stack.measure(0, width)
    steps = []
    for layer in layers:
        source, read = stack, width
        for stage, after in pairwise(layer):
            made = values.new_empty(*values.shape[:3], stage.conv.out_channels)
            narrow = Features(made, measured=uses_batch(after.norm))
            steps.append(run_stage(stage, source, read, out=narrow.values))
            source, read = narrow, stage.conv.out_channels
            source.measure(0, read)
        end = width + layer[-1].conv.out_channels
        steps.append(run_stage(layer[-1], source, read, out=stack.values[..., width:end]))
        stack.measure(width, end)
        width = end
    return stack, steps


def _save(ctx: Any, steps: Sequence[Step], out: Tensor | None = None) -> None:
    """Keep the steps and an output for the backward pass; autograd notices if one is changed."""
    ctx.from_batch = [step.from_batch for step in steps]
    ctx.save_for_backward(out, *(tensor for step in steps for tensor in step[:-1]))


def _restore(ctx: Any) -> tuple[list[Step], Any]:
    out, *tensors = ctx.saved_tensors
    each = len(tensors) // len(ctx.from_batch)
    parts = (tensors[i : i + each] for i in range(0, len(tensors), each))
    steps = zip(parts, ctx.from_batch, strict=True)
    return [Step._make([*part, from_batch]) for part, from_batch in steps], out
