"""Training in less memory on any device: the backward pass repeats cheap operations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recompute(norm: nn.Module, relu: nn.Module, conv: nn.Module, *features: Tensor) -> Tensor:
    """Concatenation, BN, ReLU and convolution; all but the last are repeated in the backward pass.

    The backward pass needs the input of the convolution, so recomputation stops before it. Running
    statistics are updated once, in the forward pass.

    Shapes: features (B, C1, H, W), (B, C2, H, W), ... -> (B, K, H, W); volumes likewise.
    """

    def run(*features: Tensor) -> Tensor:
        convolved: Tensor = conv(relu(norm(torch.cat(features, dim=1))))
        return convolved

    if not torch.is_grad_enabled():
        return run(*features)
    if torch.compiler.is_compiling():
        # The compiler repeats computations, but never the update of a buffer.
        return checkpoint(run, *features, use_reentrant=False, preserve_rng_state=False)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _keep_statistics(norm)

    return checkpoint(
        run, *features, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
    )


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
