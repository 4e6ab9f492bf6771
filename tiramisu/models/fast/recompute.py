"""Training in less memory on any device: compute again what is cheap, keep what is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recompute(norm: nn.Module, relu: nn.Module, conv: nn.Module, *features: Tensor) -> Tensor:
    """Concatenate, normalise, ReLU, convolve; in the backward pass all again but the convolution.

    The last tensor that the backward pass asks for is the convolution's input, so recomputation
    stops there. Running statistics are updated once, in the forward pass.

    Shapes: features (B, C1, H, W), (B, C2, H, W), ... -> (B, K, H, W); volumes likewise.
    """

    def run(*features: Tensor) -> Tensor:
        return conv(relu(norm(torch.cat(features, dim=1))))

    if not torch.is_grad_enabled():
        return run(*features)
    if torch.compiler.is_compiling():
        # The compiler repeats arithmetic, never the update of a buffer.
        return checkpoint(run, *features, use_reentrant=False, preserve_rng_state=False)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_held(norm)

    return checkpoint(
        run, *features, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
    )


@contextmanager
def _statistics_held(norm: nn.Module) -> Iterator[None]:
    """Let batch norm update copies of its running statistics, which are then thrown away."""
    buffers = dict(norm.named_buffers())
    for name, buffer in buffers.items():
        setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for name, buffer in buffers.items():
            setattr(norm, name, buffer)
