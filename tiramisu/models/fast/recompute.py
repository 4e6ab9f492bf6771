"""Training in less memory on any device: the backward pass repeats cheap operations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tiramisu.models.fast.stages import Stage


def recompute(stage: Stage, *features: Tensor) -> Tensor:
    """Run a stage on the concatenation of features; the backward pass repeats what is cheap.

    That is concatenation, BN and ReLU: it needs the input of the convolution, so recomputation
    stops before the convolution. Running statistics are updated once, in the forward pass.

    Shapes: features (B, C1, H, W), (B, C2, H, W), ... -> (B, K, H, W); volumes likewise.
    """

    def run(*features: Tensor) -> Tensor:
        convolved: Tensor = stage.conv(stage.relu(stage.norm(torch.cat(features, dim=1))))
        return convolved

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _keep_statistics(stage.norm)

    recomputing: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
    # The compiler repeats computations, but never the update of a buffer.
    if not torch.compiler.is_compiling():
        recomputing["context_fn"] = contexts
    kept: Tensor = stage.dropout(checkpoint(run, *features, **recomputing))
    return kept


@contextmanager
def _keep_statistics(norm: nn.Module) -> Iterator[None]:
    """A context in which batch norm updates copies of its running statistics, not themselves."""
    buffers = dict(norm.named_buffers())
    for name, buffer in buffers.items():
        setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for name, buffer in buffers.items():
            setattr(norm, name, buffer)
