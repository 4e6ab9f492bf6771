"""The settings of training and evaluation, as frozen dataclasses: a field here is a flag there.

No torch in this file, so that `--help` and a wrong flag are answered at once.
"""

import dataclasses
from typing import Literal

from tiramisu.settings import Accelerator, require

Loss = Literal["cross_entropy", "cross_entropy+dice", "cross_entropy+lovasz", "focal"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run."""

    # What is trained, on what.
    arch: str = "fc56"
    """Network: fc56, fc67 or fc103; smp:unet/resnet34, any of segmentation-models-pytorch; or
    unet:densenet121, a decoder of theirs over a DenseNet of ours."""
    data: str = "streets"
    """Data set: a shipped name, a YAML file, or a folder with images/ and masks/."""
    data_root: str | None = None
    """Folder that holds the data set's files; by default data/NAME."""
    train_split: str = "train"
    """Split to learn from."""
    val_split: str = "val"
    """Split to judge by after each epoch."""
    check_data: bool = True
    """Read and check every image and label before training starts."""
    init_from: str | None = None
    """Run, checkpoint or shipped model to start from, or torchvision's weights: IMAGENET1K_V1.
    Layers that fit are taken; for other classes the head is new."""
    resume: str | None = None
    """Run to go on with where it stopped, with the settings it was started with."""
    out: str | None = None
    """Folder of this run; by default runs/DATA_ARCH, numbered where that exists."""
    seed: int = 1
    """Seed of the weights, the order of samples, their augmentation and dropout."""

    # What the network sees.
    image_scale: float = 1.0
    """Shrink images by this factor; predictions are still judged at the labels' full size."""
    crop: tuple[int, int] | None = None
    """Height and width of random training crops, in pixels; null trains on whole images."""
    pad: int = 0
    """Margin around training images, in pixels, of which crops may show a part."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Random scaling of training images: smallest and largest factor."""
    flip: bool = True
    """Mirror training images at random, left to right."""
    color: float = 0.0
    """Strength of random brightness, contrast, gamma and colour changes, 0 to 1."""
    normalize: Literal["unit", "imagenet"] = "imagenet"
    """Scaling of pixels: unit is 0 to 1, as in the paper; imagenet also sets mean 0 and std 1."""
    cache: Literal["auto", "yes", "no"] = "auto"
    """Keep decoded images in memory; auto does where they fit in a quarter of what is free."""
    num_workers: int | Literal["auto"] = "auto"
    """Processes that load and augment beside the training one; auto takes up to 8 to feed a GPU,
    and none where the CPU trains: loading from memory is less than a hundredth of its work."""

    # How it learns.
    epochs: int = 100
    """Passes over the training split."""
    max_steps: int | None = None
    """Stop after this many optimiser steps, even within an epoch (whose part is not validated, and
    published only by `keep: last`)."""
    batch_size: int = 4
    """Images for each step and device."""
    accumulate: int = 1
    """Batches whose gradients are summed up for one optimiser step."""
    optimizer: Literal["rmsprop", "sgd", "adamw"] = "adamw"
    """rmsprop is the paper's (epsilon inside the root); sgd has Nesterov momentum."""
    lr: float = 1e-3
    """Learning rate at the schedule's peak."""
    momentum: float = 0.9
    """Momentum of sgd, decay of the squared gradients of rmsprop, first beta of adamw."""
    weight_decay: float = 1e-4
    """Weight decay of convolutions (for rmsprop and sgd added to the gradient)."""
    decay_norms: bool = False
    """Decay the scales of batch norm as well, as the paper does; biases never decay."""
    schedule: Literal["constant", "exponential", "steps", "cosine", "poly", "onecycle"] = "cosine"
    """How the learning rate changes over the run; steps divides it by 10 at 50 % and at 75 %."""
    lr_decay: float = 0.995
    """Factor after each epoch, for the exponential schedule."""
    poly_power: float = 0.9
    """Exponent of the poly schedule."""
    warmup_epochs: float = 0.0
    """Epochs (or a part of one) over which the learning rate rises from near zero."""
    clip_norm: float = 0.0
    """Largest norm of the gradient; 0 does not clip."""
    dropout: float | None = None
    """Dropout rate; null is the network's own (0.2 for FC-DenseNets)."""
    loss: Loss = "cross_entropy"
    """Loss over the labelled pixels; a sum weighs both parts equally. focal judges each class by
    itself (sigmoids), so its probabilities are no shares of one."""
    label_smoothing: float = 0.0
    """Share of the target spread evenly over all classes, for cross-entropy."""
    class_weights: Literal["none", "median_frequency", "capped"] = "none"
    """Weights for rare classes in cross-entropy; capped limits median frequency to 0.5..5."""
    ema_decay: float = 0.0
    """Average the weights over steps with this decay (such as 0.999); 0 does not average."""
    final_epochs: int = 0
    """Of the epochs, the last ones, in which images stay whole and unscaled: a run that learns from
    crops ends at the size of use. A run that --max-steps or --patience ends may not reach them."""
    final_loss: Loss | None = None
    """Loss of those last epochs; null goes on with `loss`."""
    recalibrate: bool = False
    """Measure batch norm's statistics anew, over the training images as they are, before the model
    is published."""
    patience: int = 0
    """Stop after this many epochs without a better score on val (mIoU, or top-1); 0 never does."""
    val_every: int = 1
    """Epochs between validations."""
    eval_batch_size: int = 1
    """Images at a time in validation; more than 1 needs images of one size."""
    keep: Literal["best", "last"] = "best"
    """Epoch whose weights are published: the best by its score on val (mIoU, or top-1), or the
    last."""

    # On what machine.
    accelerator: Accelerator = "auto"
    """Where to compute."""
    devices: int = 1
    """Devices (GPUs, or processes on a CPU) on each machine."""
    num_nodes: int = 1
    """Machines."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the computation; weights are always kept in fp32."""
    compile: bool = False
    """Compile the network with torch.compile: a slow start, then faster steps."""
    channels_last: bool = True
    """Store activations channels last, which convolutions on most devices prefer."""
    memory_efficient: bool = False
    """Train in less memory: keep what convolutions make, and compute the rest again in the backward
    pass. On a GPU that costs time; in fp32 the CPU does so in any case, and gains by it."""
    sync_bn: bool = False
    """Share batch norm's statistics between devices (GPUs only)."""

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "epochs", self.epochs, "1 or more")
        require(
            self.max_steps is None or self.max_steps >= 1, "max_steps", self.max_steps, "1 or more"
        )
        require(self.batch_size >= 1, "batch_size", self.batch_size, "1 or more")
        require(self.eval_batch_size >= 1, "eval_batch_size", self.eval_batch_size, "1 or more")
        require(self.accumulate >= 1, "accumulate", self.accumulate, "1 or more")
        require(self.val_every >= 1, "val_every", self.val_every, "1 or more")
        require(
            self.num_workers == "auto" or self.num_workers >= 0,
            "num_workers",
            self.num_workers,
            "0 or more, or auto",
        )
        require(self.devices >= 1, "devices", self.devices, "1 or more")
        require(self.num_nodes >= 1, "num_nodes", self.num_nodes, "1 or more")
        require(self.lr > 0, "lr", self.lr, "above 0")
        require(0 <= self.momentum < 1, "momentum", self.momentum, "0 up to, not including, 1")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        require(self.warmup_epochs >= 0, "warmup_epochs", self.warmup_epochs, "0 or more")
        require(self.clip_norm >= 0, "clip_norm", self.clip_norm, "0 (off) or more")
        require(self.pad >= 0, "pad", self.pad, "0 or more")
        require(
            0 <= self.final_epochs <= self.epochs,
            "final_epochs",
            self.final_epochs,
            f"0 up to --epochs, {self.epochs}",
        )
        if self.final_loss is not None and self.final_epochs == 0:
            raise ValueError("--final-loss needs --final-epochs, the epochs in which it is used")
        require(self.patience >= 0, "patience", self.patience, "0 (off) or more")
        require(0 < self.image_scale <= 1, "image_scale", self.image_scale, "above 0, at most 1")
        require(
            0 < self.scale[0] <= self.scale[1], "scale", self.scale, "two factors above 0, in order"
        )
        require(0 <= self.color <= 1, "color", self.color, "0 to 1")
        require(
            0 <= self.ema_decay < 1, "ema_decay", self.ema_decay, "0 (off) up to, not including, 1"
        )
        require(
            self.dropout is None or 0 <= self.dropout < 1,
            "dropout",
            self.dropout,
            "0 up to, not including, 1",
        )
        require(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "0 up to 1")
        require(0 < self.lr_decay <= 1, "lr_decay", self.lr_decay, "above 0, at most 1")
        require(0 <= self.seed < 2**32, "seed", self.seed, "0 up to 4294967295")
        require(self.poly_power > 0, "poly_power", self.poly_power, "above 0")
        plain = self.class_weights == "none" and self.label_smoothing == 0
        require(
            plain or "focal" not in (self.loss, self.final_loss),
            "loss" if self.loss == "focal" else "final_loss",
            "focal",
            "a cross-entropy where --class-weights or --label-smoothing is given",
        )
        smallest = smallest_crop(self.batch_size)
        require(
            self.crop is None or min(self.crop) >= smallest,
            "crop",
            self.crop,
            f"sides of {smallest} pixels or more (batch norm needs several values), or null",
        )

    @property
    def final_from(self) -> int | None:
        """Epoch, counted from 0, with which the final epochs begin; None if there are none."""
        return self.epochs - self.final_epochs if self.final_epochs else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierTrainConfig(TrainConfig):
    """A training run that classifies whole images: the same settings, from where such runs start.

    These defaults are for DenseNets on small images (1608.06993 section 4.2).
    """

    arch: str = "densenet_bc40_12"
    """Network: densenet121, 161, 169, 201, 264; densenet40_12, 100_12, 100_24; densenet_bc40_12,
    _bc100_12, _bc250_24 or _bc190_40."""
    data: str = "objects"
    """Data set: a shipped name, a YAML file, or a folder with train/CLASS/ and val/CLASS/."""
    batch_size: int = 64
    """Images for each step and device."""
    eval_batch_size: int = 64
    """Images at a time in validation."""
    optimizer: Literal["rmsprop", "sgd", "adamw"] = "sgd"
    """sgd has Nesterov momentum."""
    lr: float = 0.1
    """Learning rate at the schedule's peak."""
    loss: Loss = "cross_entropy"
    """cross_entropy or focal: the other two are for segmentation."""


def smallest_crop(batch_size: int) -> int:
    """Smallest side of images to train on, in pixels, that leaves batch norm several values."""
    return 32 if batch_size > 1 else 64
