"""An augmentation of one's own, after that of the settings, with the same random numbers."""

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

# On import, albumentations looks for a newer version on the internet, unless this is set.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A

from tiramisu.data.sample import DataError, Transform
from tiramisu.own_parts import describe_error, describe_part, name_of

Array = npt.NDArray[Any]


class OwnTransform:
    """A transform, then one of one's own.

    Args:
        first: the transform of the settings.
        own: a transform of albumentations, or a function (image, mask) -> (image, mask). A function
            may take random numbers from `random`, NumPy or torch: all three are seeded for it.

    Raises:
        ValueError: `own` is neither.
    """

    def __init__(self, first: Transform, own: Any) -> None:
        self.first = first
        self.asked = f"--augment {name_of(own)}"
        self.composed: A.Compose | None = None
        self.function: Callable[[Array, Array], Any] = own
        if isinstance(own, A.Compose):
            self.composed = own
        elif isinstance(own, A.BasicTransform | A.BaseCompose):
            self.composed = A.Compose([own])
        elif isinstance(own, type) or not callable(own):
            raise ValueError(
                f"{self.asked} is {describe_part(own)}; expected an object of albumentations, such "
                "as A.Compose([...]), or a function (image, mask) -> (image, mask)"
            )

    def __call__(
        self, image: Array, label: Array, *, seed: int, epoch: int, focus: int | None = None
    ) -> tuple[Array, Array]:
        image, label = self.first(image, label, seed=seed, epoch=epoch, focus=focus)
        try:
            changed = self._change(image, label, seed=seed)
        except Exception as error:
            raise DataError(f"{self.asked} fails: {describe_error(error)}") from None
        return self._check(image, label, changed)

    def _change(self, image: Array, label: Array, *, seed: int) -> Any:
        image = np.ascontiguousarray(image)
        if self.composed is not None:
            # set_random_seed would give every step the same random numbers.
            self.composed.set_random_state(np.random.default_rng(seed), random.Random(seed))
            if not label.ndim:  # of a whole image
                return self.composed(image=image)["image"], label
            result = self.composed(image=image, mask=np.ascontiguousarray(label))
            return result["image"], result["mask"]
        with _seeded(seed):
            return self.function(image.copy(), label.copy())

    def _check(self, image: Array, label: Array, changed: Any) -> tuple[Array, Array]:
        """The image and the label. Raises DataError if they are not as those before."""
        if not isinstance(changed, tuple | list) or len(changed) != 2:
            raise DataError(
                f"{self.asked} returns {describe_part(changed)}; expected two arrays: image, mask"
            )
        names = ("image", "mask" if label.ndim else "label")
        for name, before, after in zip(names, (image, label), changed, strict=True):
            if not isinstance(after, np.ndarray):
                raise DataError(
                    f"{self.asked} returns {describe_part(after)} as {name}; expected an array"
                )
            if (after.shape, after.dtype) != (before.shape, before.dtype):
                raise DataError(
                    f"{self.asked} returns {name} {after.shape} {after.dtype}; expected "
                    f"{before.shape} {before.dtype}, as it came (--crop and --normalize set size "
                    "and type)"
                )
        return np.asarray(changed[0], order="C"), np.asarray(changed[1], order="C")


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds for the global random numbers, which then go on as before."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng([]):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed % 2**63)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
