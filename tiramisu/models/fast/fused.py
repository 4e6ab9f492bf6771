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

Without gradients, `folded` is used, which needs even less. Where gradients are differentiated
again, `plain_gradients` computes them in a way that autograd can follow.

Tensors here are (B, H, W, C), the order of channels-last memory. Other modules see them permuted to
(B, C, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from tiramisu.models.fast import folded
from tiramisu.models.fast.buffers import (
    Features,
    Gradients,
    check_width,
    new_stack,
    type_of_convolutions,
    type_of_sums,
)
from tiramisu.models.fast.plain_gradients import (
    differentiate,
    is_differentiated,
    run_block_plainly,
    run_stage_plainly,
)
from tiramisu.models.fast.stages import Stage, Step, run_stage, undo_stage, uses_batch

NUM_TENSORS = Step._fields.index("from_batch")
"""Number of tensors in a step; they come first."""


def dense_block(features: Sequence[Tensor], layers: Sequence[Sequence[Stage]]) -> Tensor:
    """Run a dense block: C channels, in parts -> the stack (B, C + L * k, H, W), channels-last.

    Args:
        features: input of the block, in parts (B, C1, H, W), (B, C2, H, W), ...
        layers: for each dense layer, its stages: one, or two with a bottleneck.
    """
    check_width(features, layers[0][0].norm.num_features)
    if folded.suits(layers):
        return folded.run_layers(features, layers)
    parameters = [p for layer in layers for stage in layer for p in stage.parameters]
    stack: Tensor = _DenseBlock.apply(layers, len(features), *features, *parameters)
    return stack


def norm_relu_conv(features: Tensor, stage: Stage) -> Tensor:
    """Run one stage by itself: (B, C, H, W) -> (B, K, H, W), channels-last."""
    check_width([features], stage.norm.num_features)
    convolved: Tensor = _NormReluConv.apply(features, stage, *stage.parameters)
    return convolved


class _DenseBlock(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, layers: Sequence[Sequence[Stage]], num_features: int, *tensors: Tensor
    ) -> Tensor:
        features, parameters = tensors[:num_features], tensors[num_features:]
        stack, steps = _run_layers(features, layers)
        out = stack.values.permute(0, 3, 1, 2)
        ctx.layers = layers
        ctx.widths = [part.shape[1] for part in features]
        _save(ctx, steps, out, *parameters)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        steps, (out, *parameters) = _restore(ctx)
        width = sum(ctx.widths)
        if is_differentiated(gradient):

            def run(features: Tensor, *parameters: Tensor | None) -> Tensor:
                return run_block_plainly(features, ctx.layers, steps, parameters)

            # The stack begins with the block's input, so this is the input, and autograd knows it.
            inputs = (out[:, :width], *parameters)
            of_stack, *found = differentiate(run, inputs, gradient)
            if of_stack is None:
                return None, None, *([None] * len(ctx.widths)), *found
            return None, None, *torch.split(of_stack, ctx.widths, dim=1), *found
        values = out.permute(0, 2, 3, 1)
        own = torch.empty(values.shape, dtype=type_of_sums(values))  # others are added to it
        stack = Gradients(own.copy_(gradient.permute(0, 2, 3, 1)), values)
        found = []
        end = values.shape[3]
        for first, *others in reversed(ctx.layers):
            start = end - [first, *others][-1].conv.out_channels
            made = stack.settle(start, end)
            for stage in reversed(others):
                step = steps.pop()
                narrow = Gradients(_zeros(step.source), step.source)
                found[:0] = undo_stage(stage, step, made, narrow)
                made = narrow.settle(0, narrow.values.shape[3])
            found[:0] = undo_stage(first, steps.pop(), made, stack)
            end = start
        of_input = stack.settle(0, width).to(values.dtype).permute(0, 3, 1, 2)
        of_features = torch.split(of_input, ctx.widths, dim=1)
        return None, None, *of_features, *found


class _NormReluConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, stage: Stage, *parameters: Tensor | None) -> Tensor:
        source = Features(features.permute(0, 2, 3, 1), measured=uses_batch(stage.norm))
        source.measure(source.values, 0)
        made, step = run_stage(stage, source, features.shape[1])
        ctx.stage = stage
        _save(ctx, [step], features, *parameters)
        return made.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (step,), inputs = _restore(ctx)
        if is_differentiated(gradient):

            def run(features: Tensor, *parameters: Tensor | None) -> Tensor:
                return run_stage_plainly(features, ctx.stage, step, parameters)

            of_features, *of_parameters = differentiate(run, inputs, gradient)
            return of_features, None, *of_parameters
        source = Gradients(_zeros(step.source), step.source)
        found = undo_stage(ctx.stage, step, gradient.permute(0, 2, 3, 1), source)
        of_features = source.settle(0, step.source.shape[3]).to(step.source.dtype)
        return of_features.permute(0, 3, 1, 2), None, *found


def _run_layers(
    features: Sequence[Tensor], layers: Sequence[Sequence[Stage]]
) -> tuple[Features, list[Step]]:
    """Compute the stack of a dense block; also returns what the backward pass needs."""
    new_channels = sum(layer[-1].conv.out_channels for layer in layers)
    dtype = type_of_convolutions(layers[0][0].conv.weight)
    values, width = new_stack(features, new_channels, dtype)
    stack = Features(values, measured=any(uses_batch(layer[0].norm) for layer in layers))
    stack.measure(values[..., :width], 0)
    steps = []
    for layer in layers:
        source, read = stack, width
        for stage, after in pairwise(layer):
            made, step = run_stage(stage, source, read)
            steps.append(step)
            source, read = Features(made, measured=uses_batch(after.norm)), made.shape[3]
            source.measure(made, 0)
        made, step = run_stage(layer[-1], source, read)
        steps.append(step)
        stack.add(made, width)
        width += made.shape[3]
    return stack, steps


def _zeros(features: Tensor) -> Tensor:
    """A buffer for the sum of the gradients of features."""
    return torch.zeros_like(features, dtype=type_of_sums(features))


def _save(ctx: Any, steps: Sequence[Step], *others: Tensor | None) -> None:
    """Keep steps, inputs and outputs for the backward pass; autograd notices if one is changed."""
    ctx.settings = [step[NUM_TENSORS:] for step in steps]
    ctx.save_for_backward(*(tensor for step in steps for tensor in step[:NUM_TENSORS]), *others)


def _restore(ctx: Any) -> tuple[list[Step], Sequence[Any]]:
    """What `_save` has kept: the steps, and the other tensors."""
    tensors = list(ctx.saved_tensors)
    steps = []
    for settings in ctx.settings:
        steps.append(Step._make([*tensors[:NUM_TENSORS], *settings]))
        del tensors[:NUM_TENSORS]
    return steps, tensors
