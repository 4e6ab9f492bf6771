"""One sample, as datasets give it and transforms change it."""

from typing import Protocol, TypedDict

import numpy as np
from torch import Tensor


class Transform(Protocol):
    """A random change of an image and its label. Seed and epoch alone decide what happens."""

    def __call__(
        self, image: np.ndarray, label: np.ndarray, *, seed: int, epoch: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (H, W, 3) and label uint8 (H, W) -> the same, of any one size.

        The label of a whole image, int64 (), stays what it is.
        """
        ...


class Sample(TypedDict):
    """What the dataset yields; a batch has one more dimension in front."""

    image: Tensor
    """uint8 (3, H, W), RGB."""
    label: Tensor
    """Segmentation: uint8 (H, W), void 255. A loss wants int64: make it that on the device.
    Classification: int64 (), void -1."""
    index: int
    """The sample's place in the dataset; -1 for padding."""


class DataError(ValueError):
    """A sample cannot be read, or samples cannot be batched.

    A worker's exception is made anew in the main process from its whole traceback text. Only the
    message at its end is for the user.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())
