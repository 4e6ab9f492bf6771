"""The types of samples, of their keys and of transforms."""

from dataclasses import dataclass
from typing import Any, Protocol, TypedDict

import numpy.typing as npt
from torch import Tensor


class Transform(Protocol):
    """A random change of an image and its label. It depends on seed, epoch and focus alone."""

    def __call__(
        self,
        image: npt.NDArray[Any],
        label: npt.NDArray[Any],
        *,
        seed: int,
        epoch: int,
        focus: int | None,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Change an image, (H, W, C) of any type, and its label, uint8 (H, W), in the same way.

        The result may have another size, and shows the class `focus` if there is one. The label of
        a whole image, int64 (), is returned as is.
        """
        ...


@dataclass(frozen=True, slots=True)
class SampleKey:
    """Which sample of a dataset, in which epoch."""

    index: int
    epoch: int = 0
    """Counted from 0; random changes differ between epochs."""
    focus: int | None = None
    """The class that a random crop has to show; None for any crop."""
    crop: int = 0
    """Number of the random crop, where an epoch shows several of an image."""
    padding: bool = False
    """Whether the label is all void. Padding evens out the batches of several processes."""


class Sample(TypedDict):
    """One sample of a dataset; in a batch, each tensor has one more dimension in front."""

    image: Tensor
    """(C, H, W): uint8, such as RGB, or float32 with the values of the files."""
    label: Tensor
    """Segmentation: uint8 (H, W), void 255. Losses expect int64: convert it on the device.
    Classification: int64 (), void -1."""
    index: int
    """The sample's place in the dataset; -1 for padding."""


class DataError(ValueError):
    """A sample cannot be read, or samples cannot be put into one batch.

    DataLoader raises a worker's exception again in the main process, with the whole traceback as
    its message. This class keeps only the message at the end.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())
