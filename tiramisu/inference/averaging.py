"""Predictions averaged over several passes: test-time augmentation, and Monte Carlo dropout."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from tiramisu.checkpoints.model import ImageModel
from tiramisu.inference.predictor import MIN_SIDE, Predictor

TTA_SCALES = (0.75, 1.0, 1.25)


def augmented_logits(
    run: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    size: Sequence[int] | None = None,
    scales: Sequence[float] = TTA_SCALES,
) -> Tensor:
    """Test-time augmentation: the mean over scaled copies of images, each also mirrored.

    Args:
        run: a model, or a function that runs one in tiles: (B, C, h, w) -> logits (B, C, h, w),
            or (B, C).
        images: (B, C, H, W) with the values of files.
        size: height and width of the result; by default those of the images. () for (B, C).
        scales: factors of the copies.

    Returns:
        Logits (B, C, H, W), or (B, C), whose softmax is the mean of the probabilities.
    """
    size = images.shape[-2:] if size is None else size
    total: Tensor | None = None
    for scale in scales:
        view = images.float()
        if scale != 1:
            scaled = [max(MIN_SIDE, round(side * scale)) for side in images.shape[-2:]]
            view = F.interpolate(view, size=scaled, mode="bilinear", antialias=scale < 1)
        for mirrored in (False, True):
            logits = run(view.flip(-1) if mirrored else view)
            if size:
                logits = logits.flip(-1) if mirrored else logits
                logits = F.interpolate(logits.float(), size=tuple(size), mode="bilinear")
            probabilities = logits.float().softmax(dim=1)
            total = probabilities if total is None else total.add_(probabilities)
    assert total is not None, "there is at least one scale"
    return as_logits(total / (2 * len(scales)))


def as_logits(probabilities: Tensor) -> Tensor:
    """Logits whose softmax gives these probabilities."""
    # A probability of 0 in float32 gets a finite logarithm too.
    return probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()


@contextmanager
def random_dropout(model: Predictor, *, seed: int = 0) -> Iterator[None]:
    """A context in which dropout is random although the model is in evaluation mode.

    Each pass then uses another of the many thinned networks that were trained by dropout; their
    disagreement measures the uncertainty of the model (Monte Carlo dropout, arXiv 1506.02142).
    Batch norm stays in evaluation mode, and other random numbers on CPU and GPUs are not affected.

    Raises:
        ValueError: the model has no dropout, or is an exported one or an ensemble.
    """
    if not isinstance(model, ImageModel):
        raise ValueError(
            f"an exported model or an ensemble ({model.info.arch}) has no dropout; give the folder "
            "of one run or its model.safetensors"
        )
    dropouts = nn.ModuleList(m for m in model.modules() if isinstance(m, _DropoutNd) and m.p > 0)
    if not dropouts:
        raise ValueError(
            f"the model ({model.info.arch}) was trained without dropout, so all passes would be "
            "the same; train one with --dropout above 0, such as 0.2"
            + (
                " (networks smp:... have no dropout; unet:densenet121 can be trained with it)"
                if "smp:" in model.info.arch
                else ""
            )
        )
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        try:
            dropouts.train()
            yield
        finally:
            dropouts.eval()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Passes:
    """The result of several passes with random dropout; classes are dimension 1 of `mean`."""

    mean: Tensor
    """The mean of the probabilities, in the shape of one pass."""
    mean_entropy: Tensor
    """The mean of the entropies of the passes, in nats."""

    @property
    def entropy(self) -> Tensor:
        """Entropy of the mean prediction, in nats (0 to the logarithm of the number of classes).

        It holds both kinds of uncertainty: that of each pass, and the disagreement of the passes.
        """
        return _entropy(self.mean)

    @property
    def mutual_information(self) -> Tensor:
        """Mutual information of prediction and weights, in nats.

        The part of the entropy that comes from the disagreement of the passes. It is high where
        each pass is sure of another class; more training data might reduce it (arXiv 1112.5745;
        1703.02910 for dropout).
        """
        return (self.entropy - self.mean_entropy).clamp(min=0)


@torch.inference_mode()
def average(run: Callable[[], Tensor], *, passes: int) -> Passes:
    """Average passes of `run`, which gives the probabilities (B, C, ...) of one pass."""
    total = run()
    entropies = _entropy(total)
    for _ in range(passes - 1):
        probabilities = run()
        total += probabilities
        entropies += _entropy(probabilities)
    return Passes(mean=total / passes, mean_entropy=entropies / passes)


def run_passes(
    model: Predictor, images: Tensor, *, size: tuple[int, int] | None, passes: int
) -> Passes:
    """Run several passes over a batch, within `random_dropout`.

    Args:
        model: what runs.
        images: (B, C, H, W) with the values of files.
        size: height and width of the result; None for a classifier, which takes none.
        passes: their number.
    """

    def run_once() -> Tensor:
        logits = model(images) if size is None else model(images, size=size)
        return logits.float().softmax(dim=1)

    return average(run_once, passes=passes)


def _entropy(probabilities: Tensor) -> Tensor:
    entropy: Tensor = torch.special.entr(probabilities).sum(dim=1)
    return entropy
