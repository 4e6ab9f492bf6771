"""The class of every pixel in batches of a data set, with a bounded use of memory.

Validation, evaluation and the pictures of samples go through one `PixelTester`. Small images go
through the network as batches. A large image goes alone, in tiles, as in `predict`, and only the
class and the confidence of each pixel are kept: five bytes a pixel, for any number of classes.
"""

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

import torch
from torch import Tensor

from tiramisu.devices import is_out_of_memory
from tiramisu.inference.averaging import Passes, as_logits, augmented_logits, average, run_passes
from tiramisu.inference.predictor import Predictor
from tiramisu.inference.tiles import (
    DEFAULT_TILE,
    Rows,
    Tile,
    join_rows,
    logits_by_rows,
    resize_rows,
    with_smaller_tiles,
)

OVERLAP = 0.25
"""Part of a tile that it shares with the next."""

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PixelClasses:
    """The predicted class of every pixel of a batch, on the device of its images."""

    classes: Tensor
    """Most probable class of each pixel, (B, H, W), int64 or uint8."""
    confidence: Tensor
    """Probability of that class, (B, H, W), float32, 0..1."""
    is_finite: Tensor
    """Whether all outputs of the network were finite numbers, bool (). It is not looked at here:
    that would be to wait for the device."""
    log_likelihood: Tensor | None = None
    """Logarithm of the probability of each pixel's label, (B, H, W), float32; None where labels are
    not known. Void pixels have a value without a meaning."""


class PixelTester:
    """Predicts batches at the size of their labels, large images in tiles.

    Where memory runs out, it goes on with single images and smaller tiles, and stays with these.

    Args:
        model: a model for segmentation; it must be in evaluation mode when it is used.
        tile: side of the tiles, in pixels of the image as the network sees it; "auto" is 1024. A
            batch whose images are not larger is predicted whole. None predicts every batch whole.
        tta: average over scaled and mirrored copies, as `augmented_logits` does. Of a large image
            this and `passes` take the memory for the probabilities of all classes, on the CPU.
        passes: number of passes to average over, within `random_dropout`; 0 takes a single one.
    """

    def __init__(
        self, model: Predictor, *, tile: Tile = "auto", tta: bool = False, passes: int = 0
    ) -> None:
        self.model = model
        self.side = DEFAULT_TILE if tile == "auto" else tile
        self.tta = tta
        self.passes = passes
        self._one_by_one = False

    @torch.inference_mode()
    def test(
        self, images: Tensor, *, size: tuple[int, int], labels: Tensor | None = None
    ) -> PixelClasses:
        """Predict a batch.

        Args:
            images: (B, C, h, w) with the values of files, on any device.
            size: height and width of the labels, which may be larger than the images.
            labels: integers (B, H, W) on any device, for `log_likelihood`.

        Raises:
            RuntimeError: memory ran out, with the smallest tiles too.
        """
        whole = functools.partial(self._test_whole, labels=labels)
        alone = functools.partial(self._test_alone, labels=labels)
        return self._run(images, size=size, whole=whole, alone=alone)

    @torch.inference_mode()
    def average(self, images: Tensor, *, size: tuple[int, int]) -> Passes:
        """The mean of all passes over one image (1, C, h, w), and its uncertainty; as `test`."""

        def whole(images: Tensor, size: tuple[int, int]) -> Passes:
            return run_passes(self.model, images, size=size, passes=self.passes)

        def alone(images: Tensor, size: tuple[int, int]) -> Passes:
            return self._in_tiles(images, functools.partial(self._passes, images, size=size))

        return self._run(images, size=size, whole=whole, alone=alone)

    def _run(
        self,
        images: Tensor,
        *,
        size: tuple[int, int],
        whole: Callable[[Tensor, tuple[int, int]], T],
        alone: Callable[[Tensor, tuple[int, int]], T],
    ) -> T:
        """A batch as a whole; large images, and where memory runs out, alone."""
        if self._goes_whole(images, size):
            try:
                return whole(images.to(self.model.device), size)
            except (RuntimeError, MemoryError) as error:
                if self.side is None or not is_out_of_memory(error):
                    raise
            torch.cuda.empty_cache()
            if len(images) > 1:
                self._one_by_one = True
                log.warning("out of memory with %d images; going on one by one", len(images))
        return alone(images, size)

    def _goes_whole(self, images: Tensor, size: tuple[int, int]) -> bool:
        if self.side is None:
            return True
        if self._one_by_one and len(images) > 1:
            return False
        # Logits are resized to the labels, so these must not be much larger than a tile either.
        return max(images.shape[-2:]) <= self.side and size[0] * size[1] <= 4 * self.side**2

    def _test_whole(
        self, images: Tensor, size: tuple[int, int], *, labels: Tensor | None
    ) -> PixelClasses:
        if self.tta:
            logits = augmented_logits(self.model, images, size=size)
        elif self.passes:
            logits = as_logits(run_passes(self.model, images, size=size, passes=self.passes).mean)
        else:
            logits = self.model(images, size=size)  # (B, C, H, W)
        classes, confidence = best_class(logits)
        return PixelClasses(
            classes=classes,
            confidence=confidence,
            is_finite=logits.isfinite().all(),
            log_likelihood=None if labels is None else log_likelihood(logits, labels),
        )

    def _test_alone(
        self, images: Tensor, size: tuple[int, int], *, labels: Tensor | None
    ) -> PixelClasses:
        classes = torch.empty(len(images), *size, dtype=torch.uint8)
        confidence = torch.empty(len(images), *size)
        likelihood = None if labels is None else torch.empty(len(images), *size)
        for i in range(len(images)):
            image = images[i : i + 1]
            label = None if labels is None else labels[i].cpu()
            run = functools.partial(self._best, image, size=size, label=label)
            classes[i], confidence[i], found = self._in_tiles(image, run)
            if likelihood is not None and found is not None:
                likelihood[i] = found
        confidence = confidence.to(images.device)
        return PixelClasses(
            classes=classes.to(images.device),
            confidence=confidence,
            is_finite=confidence.isfinite().all(),
            log_likelihood=None if likelihood is None else likelihood.log().to(images.device),
        )

    def _in_tiles(self, image: Tensor, run: Callable[[int | None], T]) -> T:
        """Call `run(side)`, with smaller tiles where memory runs out; the next image keeps them."""

        def remember(side: int | None) -> T:
            self.side = side
            return run(side)

        return with_smaller_tiles(remember, tile=self.side, longest_side=max(image.shape[-2:]))

    def _best(
        self, image: Tensor, tile: int | None, *, size: tuple[int, int], label: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Class, confidence and probability of the label of one image's pixels, (H, W) each.

        All are on the CPU. Without a label, its probability is None.
        """
        if not self.passes:
            parts = self._rows(image, size=size, tile=tile)
        else:
            parts = iter([(0, self._passes(image, tile, size=size).mean[0])])
        if label is None:
            return *keep_best(parts, size=size), None
        likelihood = torch.empty(size)
        parts = _keep_likelihood(parts, label, into=likelihood)
        return *keep_best(parts, size=size), likelihood

    def _passes(self, image: Tensor, tile: int | None, *, size: tuple[int, int]) -> Passes:
        def run_once() -> Tensor:
            return join_rows(self._rows(image, size=size, tile=tile), height=size[0])[None]

        return average(run_once, passes=self.passes)

    def _rows(self, image: Tensor, *, size: tuple[int, int], tile: int | None) -> Iterator[Rows]:
        height, width = image.shape[-2:]
        return probability_rows(
            self.model,
            image,
            seen=(height, width),
            size=size,
            tile=tile,
            overlap=OVERLAP,
            tta=self.tta,
        )


def best_class(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Most likely class and its probability, (B, ...) each, from logits (B, C, ...)."""
    # The highest softmax value without the others: exp(highest logit - log of sum of exp).
    highest, classes = logits.float().max(dim=1)
    return classes, (highest - logits.float().logsumexp(dim=1)).exp()


def log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """Logarithm of the probability of the labels, float32 (B, ...).

    Args:
        logits: (B, C, ...).
        labels: integers (B, ...); those that are no class, such as void, count as class 0.
    """
    logits = logits.float()
    labels = _as_index(labels.to(logits.device), num_classes=logits.shape[1])
    # Of the label and not of its softmax, which is 0 where another class is far more likely.
    return logits.gather(1, labels[:, None])[:, 0] - logits.logsumexp(dim=1)


def _as_index(labels: Tensor, *, num_classes: int) -> Tensor:
    """The labels as int64, and 0 where they are no class."""
    labels = labels.long()
    return torch.where((labels >= 0) & (labels < num_classes), labels, 0)


def _keep_likelihood(parts: Iterator[Rows], label: Tensor, *, into: Tensor) -> Iterator[Rows]:
    """The same rows of probabilities; that of each pixel's label is written into (H, W)."""
    for top, probabilities in parts:
        rows = slice(top, top + probabilities.shape[1])
        index = _as_index(label[rows], num_classes=len(probabilities))
        truth = probabilities.gather(0, index[None].to(probabilities.device))[0]
        into[rows] = truth.clamp_min(torch.finfo(torch.float32).tiny)  # so that its log is finite
        yield top, probabilities


@torch.inference_mode()
def probability_rows(
    model: Predictor,
    images: Tensor,
    *,
    seen: tuple[int, int],
    size: tuple[int, int],
    tile: int | None,
    overlap: float,
    tta: bool = False,
) -> Iterator[Rows]:
    """Probabilities of one image, some rows at a time, from the top down.

    They are NaN where a logit is not finite.

    Args:
        model: predicts a tile.
        images: (1, C, h, w) with the values of files, possibly padded at its bottom and right.
        seen: height and width of the image without the padding.
        size: height and width of the result.
        tile, overlap: see `logits_by_rows`.
        tta: average over scaled and mirrored copies, as `augmented_logits` does.
    """

    def logits_of(views: Tensor) -> Iterator[Rows]:
        return logits_by_rows(model, views, tile=tile, overlap=overlap)

    if tta:
        averaged = augmented_logits(
            lambda views: join_rows(logits_of(views), height=views.shape[-2])[None],
            images.cpu(),  # all copies together take more memory than a tile
        )
        parts = iter([(0, averaged[0])])
    else:
        parts = logits_of(images)
    yield from softmax_rows(resize_rows(parts, seen=seen, size=size))


def softmax_rows(parts: Iterator[Rows]) -> Iterator[Rows]:
    """Logits -> probabilities, in place: the logits of a large image take half a gigabyte."""
    for top, logits in parts:
        logits.sub_(logits.amax(dim=0)).exp_()
        yield top, logits.div_(logits.sum(dim=0))


def keep_best(parts: Iterator[Rows], *, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Best class, uint8 (H, W), and its probability, float32 (H, W), from rows of probabilities."""
    mask, confidence = torch.empty(size, dtype=torch.uint8), torch.empty(size)
    for top, probabilities in parts:
        highest, classes = probabilities.max(dim=0)  # (C, rows, W) -> (rows, W)
        rows = slice(top, top + len(classes))
        mask[rows], confidence[rows] = classes, highest
    return mask, confidence


def as_tile(setting: int | Literal["auto", "off"]) -> Tile:
    """The side of a tile from the setting `--tile`."""
    return None if setting == "off" else setting
