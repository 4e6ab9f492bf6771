"""The gradients of the fused functions by plain operations.

The backward passes in `fused` write into buffers. Autograd cannot differentiate that, and batches
of gradients cannot pass through it. Where that is asked for (`create_graph=True`,
`is_grads_batched=True`), the forward pass is computed again by plain operations, and autograd
differentiates them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tiramisu.models.fast.buffers import convert
from tiramisu.models.fast.choice import is_observed, is_ordinary
from tiramisu.models.fast.stages import Stage, Step


def is_differentiated(gradient: Tensor) -> bool:
    """Whether a backward pass is itself differentiated, transformed or observed."""
    return torch.is_grad_enabled() or not is_ordinary(gradient) or is_observed()


def differentiate(
    run: Callable[..., Tensor], inputs: Sequence[Tensor | None], gradient: Tensor
) -> list[Tensor | None]:
    """The gradients of plain operations, which autograd can differentiate again."""
    keeps_graph = torch.is_grad_enabled()
    # `run` says itself in which type it computes.
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        # Views, because one input may depend on another: only `run` itself is differentiated.
        views = [None if tensor is None else tensor.view_as(tensor) for tensor in inputs]
        wanted = [view for view in views if view is not None and view.requires_grad]
        gradients = torch.autograd.grad(
            run(*views), wanted, gradient, create_graph=keeps_graph, allow_unused=True
        )
    found = dict(zip(map(id, wanted), gradients, strict=True))
    return [found.get(id(view)) for view in views]


def run_block_plainly(
    stack: Tensor,
    layers: Sequence[Sequence[Stage]],
    steps: Sequence[Step],
    parameters: Sequence[Tensor | None],
) -> Tensor:
    """The stack of a dense block as `forward` computes it, with the masks of the steps."""
    left, fours = iter(steps), zip(*[iter(parameters)] * 4, strict=True)
    for layer in layers:
        made = stack
        for stage in layer:
            made = run_stage_plainly(made, stage, next(left), next(fours))
        stack = torch.cat([stack, made], dim=1)
    return stack


def run_stage_plainly(
    features: Tensor, stage: Stage, step: Step, parameters: Sequence[Tensor | None]
) -> Tensor:
    """One stage as its modules compute it, with the mask of the step."""
    norm_weight, norm_bias, weight, bias = parameters
    assert norm_weight is not None
    assert norm_bias is not None
    assert weight is not None
    if step.from_batch:
        normed = F.batch_norm(
            features, None, None, norm_weight, norm_bias, training=True, eps=stage.norm.eps
        )
    else:
        mean, scale, shift = (
            vector[:, None, None]
            for vector in (step.mean, norm_weight * step.inverse_std, norm_bias)
        )
        normed = (features - mean) * scale + shift
    dtype = step.weight.dtype  # bf16 under autocast
    weight, bias = convert(weight, bias, dtype)
    made = F.conv2d(F.relu(normed).to(dtype), weight, bias, padding=stage.conv.padding)
    if step.kept is not None:
        made = made * step.kept.permute(0, 3, 1, 2) / (1 - step.dropout)
    return made
