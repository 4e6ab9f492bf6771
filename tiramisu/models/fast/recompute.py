"""Training in less memory on any device: the backward pass repeats cheap operations."""

from __future__ import annotations

from itertools import count

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from tiramisu.models.fast.stages import Stage


def recompute(stage: Stage, *features: Tensor) -> Tensor:
    """Run a stage on the concatenation of features; the backward pass repeats what is cheap.

    That is concatenation, BN and ReLU: it needs the input of the convolution, so recomputation
    stops before the convolution. Running statistics are updated once, in the forward pass.

    Shapes: features (B, C1, H, W), (B, C2, H, W), ... -> (B, K, H, W); volumes likewise.
    """
    chain = nn.Sequential(stage.norm, stage.relu, stage.conv)
    parameters, is_training = dict(chain.named_parameters()), stage.norm.training
    passes = count()

    def run(*features: Tensor) -> Tensor:
        made: Tensor = chain(torch.cat(features, dim=1))
        return made

    def run_or_repeat(*features: Tensor) -> Tensor:
        if next(passes) == 0:
            return run(*features)
        # As in the forward pass, whatever has become of the modules since then.
        buffers = {name: buffer.clone() for name, buffer in chain.named_buffers()}
        was_training, stage.norm.training = stage.norm.training, is_training
        try:
            made: Tensor = functional_call(chain, parameters | buffers, torch.cat(features, dim=1))
            return made
        finally:
            stage.norm.training = was_training

    # The compiler repeats computations, but never the update of a buffer.
    chosen = run if torch.compiler.is_compiling() else run_or_repeat
    convolved = checkpoint(chosen, *features, use_reentrant=False, preserve_rng_state=False)
    kept: Tensor = stage.dropout(convolved)
    return kept
