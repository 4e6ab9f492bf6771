"""Which samples an epoch shows: each once, or those with rare classes more often."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tiramisu.data.sample import SampleKey

FOCUSED = 0.5
"""Part of the samples of an epoch that are chosen for a class they show."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RareClassSampling:
    """Shows rare classes more often.

    Half of the samples of an epoch stay as they are. In place of each of the others comes a sample
    that shows a class: the class is drawn first, with a probability that falls with the square
    root of its share of the pixels; then one of the samples that have it; then `TrainTransform`
    cuts a crop in which it is.
    """

    counts: npt.NDArray[np.int64]
    """(N, C): labelled pixels of each class in each sample."""
    until: int | None = None
    """From this epoch on, counted from 0, every sample comes once. None for never."""

    def choose(self, keys: list[SampleKey], *, seed: int, epoch: int) -> list[SampleKey]:
        """The samples of an epoch in the order in which they are loaded.

        Args:
            keys: the samples of an epoch that shows each equally often, in their order.
            seed: seed of the choice.
            epoch: the epoch, counted from 0.
        """
        if self._weights.sum() == 0 or (self.until is not None and epoch >= self.until):
            return keys
        rng = np.random.default_rng((seed, epoch, 1))  # the order is drawn from (seed, epoch)
        classes = rng.choice(len(self._weights), size=len(keys), p=self._weights)
        chosen = list(keys)
        for place, focus in enumerate(classes):
            if rng.random() < FOCUSED:
                index = int(rng.choice(self._samples[focus]))
                # The number of the crop makes a sample differ from others of the same image.
                chosen[place] = SampleKey(index, epoch, focus=int(focus), crop=len(keys) + place)
        return chosen

    @cached_property
    def _weights(self) -> npt.NDArray[np.float64]:
        """Probability of each class, (C,); 0 for classes that no sample has."""
        total = self.counts.sum(axis=0)
        shares = total / max(1, total.sum())
        weights = np.zeros(len(shares))
        np.divide(1, np.sqrt(shares), out=weights, where=shares > 0)
        return np.asarray(weights / max(1e-9, weights.sum()))

    @cached_property
    def _samples(self) -> list[npt.NDArray[np.int64]]:
        """Indices of the samples that have each class."""
        return [np.flatnonzero(column) for column in self.counts.T]
