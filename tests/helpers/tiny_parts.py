"""Parts of one's own that are found by name, such as tiny_parts:TinyNet."""

import random

import albumentations as A
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torchmetrics import Metric


class TinyNet(nn.Module):
    """Takes images whose sides are multiples of 8."""

    def __init__(self, num_classes: int, in_channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.down = nn.Conv2d(in_channels, 8, 3, stride=8, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(dropout)
        self.up = nn.ConvTranspose2d(8, num_classes, 8, stride=8)

    def forward(self, images: Tensor) -> Tensor:
        return self.up(self.drop(self.norm(self.down(images)).relu()))


def tiny_net(num_classes: int) -> TinyNet:
    return TinyNet(num_classes, 3)


def without_annotation(num_classes: int, in_channels: int):
    raise AssertionError("it must not be called")


class Classifier(nn.Module):
    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.last = nn.Linear(in_channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(images.mean((2, 3)))


class Small(TinyNet):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)[..., ::4, ::4]


class OneClass(TinyNet):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)[:, :1]


class Pair(TinyNet):
    def forward(self, images: Tensor) -> tuple[Tensor, int]:
        return super().forward(images), 1


class PairInTraining(TinyNet):
    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, int]:
        logits = super().forward(images)
        return (logits, 1) if self.training else logits


class Broken(TinyNet):
    def forward(self, images: Tensor) -> Tensor:
        return self.nothing(images)


class FixedSize(TinyNet):
    def forward(self, images: Tensor) -> Tensor:
        assert images.shape[2:] == (128, 128), "only 128"
        return super().forward(images)


class Pooled(nn.Module):
    """Takes any size from 32 pixels on."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.last = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        return F.interpolate(self.last(F.max_pool2d(images, 32)), size=images.shape[2:])


class TinyLoss(nn.Module):
    def __init__(self, ignore_index: int, weight: Tensor | None = None) -> None:
        super().__init__()
        self.options = {"ignore_index": ignore_index, "weight": weight}

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return 2 * F.cross_entropy(logits, labels, **self.options)


def tiny_loss(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    return 3 * F.cross_entropy(logits, labels, ignore_index=ignore_index)


def loss_of_each_pixel(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="none")


def loss_without_gradient(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.detach(), labels)


turns = A.Compose([A.RandomRotate90(p=1), A.GaussNoise(p=1)])


def noise(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Takes random numbers from all three places."""
    shift = np.random.randint(9) + random.randint(0, 9) + int(torch.randint(9, ()))  # noqa: NPY002
    return (image // 2 + shift).astype(np.uint8), mask


def as_floats(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return image / 255, mask


def only_image(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return image


def recall_of_first(matrix: np.ndarray) -> float:
    return float(matrix[0, 0] / matrix[0].sum())


def correct_of_each(matrix: np.ndarray) -> np.ndarray:
    return np.diag(matrix)


class Pixels(Metric):
    """Counts labelled pixels; takes no ignore_index."""

    def __init__(self) -> None:
        super().__init__()
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, classes: Tensor, labels: Tensor) -> None:
        assert classes.shape == labels.shape
        self.count += labels.numel()

    def compute(self) -> Tensor:
        return self.count


class Shape(Metric):
    """Takes ignore_index, and so gets whole maps; keeps the number of dimensions."""

    def __init__(self, ignore_index: int) -> None:
        super().__init__()
        self.add_state("dims", torch.tensor(0), dist_reduce_fx="max")

    def update(self, classes: Tensor, labels: Tensor) -> None:
        self.dims = torch.tensor(labels.ndim)

    def compute(self) -> Tensor:
        return self.dims


class Steps(Callback):
    """Counts the batches of all runs."""

    count = 0

    def on_train_batch_end(self, *_) -> None:
        type(self).count += 1


class Unsaved(Callback):
    def state_dict(self) -> dict[str, object]:
        return {"what": object}


class TinyLogger(CSVLogger):
    """Called with save_dir."""
