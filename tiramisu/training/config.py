"""The settings of a training run, as frozen dataclasses: each field is a flag of `tiramisu train`.

No torch in this file, so that `--help` and a wrong flag are answered at once.
"""

import dataclasses
from typing import Annotated, Any, Literal

from tiramisu.data.config import ImageOptions
from tiramisu.own_parts import OwnName
from tiramisu.settings import (
    Accelerator,
    BatchSize,
    Count,
    CountOrZero,
    ImageScale,
    NumberOrZero,
    PositiveNumber,
    Processes,
    Range,
    Seed,
    Share,
    ShareAboveZero,
    ShareBelowOne,
    Side,
    TileSide,
    explain,
)

ClassWeight = Annotated[float, Range(at_least=0, at_most=1000)]
Factor = Annotated[float, Range(at_least=0.1, at_most=10)]
Loss = Literal[
    "cross_entropy",
    "cross_entropy+dice",
    "cross_entropy+tversky",
    "cross_entropy+lovasz",
    "bce",
    "bce+dice",
    "bce+tversky",
    "bce+lovasz",
    "focal",
    "focal+dice",
    "focal+tversky",
    "focal+lovasz",
    "dice",
    "tversky",
    "lovasz",
]
"""One loss, or the sum of one that judges each pixel and one that judges the overlap of classes."""


Service = Literal["wandb", "mlflow"]
"""Services that follow runs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(ImageOptions):
    """A training run.

    Raises:
        ValueError: a field is out of its range, or two fields contradict each other.
    """

    # The network and the data.
    arch: str = "fc56"
    """Network: fc56, fc67 or fc103; smp:DECODER/ENCODER, such as smp:unet/resnet34, for a network
    of segmentation-models-pytorch; DECODER:DENSENET, such as unet:densenet121, for one of its
    decoders on a DenseNet of Tiramisu; MODULE:NAME for a network of your own, a class or function
    that takes num_classes and in_channels."""
    data: str = "streets"
    """Data set: a name that comes with the package, such as camvid; a YAML file; or a folder with
    images/ and masks/."""
    data_root: str | None = None
    """Folder with the files of the data set; by default the root in its YAML, or data/NAME."""
    train_split: str = "train"
    """Split to train on."""
    val_split: str = "val"
    """Split to evaluate on during and after the training."""
    check_data: bool = True
    """Read and check every image and label before training starts."""
    init_from: str | None = None
    """Weights to start from: a run, a checkpoint, or a model that comes with the package;
    IMAGENET1K_V1, torchvision's weights, for DECODER:DENSENET; imagenet, the encoder's weights,
    for smp:DECODER/ENCODER; or a state dict of PyTorch, .pth or .safetensors. Layers that do not
    fit, such as the last one for other classes, start from random weights."""
    resume: str | None = None
    """Run to continue, with the settings it was started with."""
    out: str | None = None
    """Folder of the run; by default runs/DATA_ARCH; if that exists, runs/DATA_ARCH-2, and so on."""
    seed: Seed = 1
    """Seed of the initial weights, the order of the images, augmentation and dropout."""

    # The images that the network is trained on.
    image_scale: ImageScale = 1.0
    """Factor by which images are shrunk: 0.5 halves both sides. Predictions are still evaluated at
    the full size of the labels."""
    resize: tuple[Side, Side] | None = None
    """Height and width to which all images are resized, in pixels, also in evaluation and
    prediction; null keeps their sizes, times --image-scale. Predictions come back at the size of
    the image."""
    crop: tuple[Side, Side] | None = None
    """Height and width of random training crops, in pixels; null trains on whole images."""
    crops_per_image: Count = 1
    """Random crops of each image in an epoch; more than 1 needs --crop."""
    pad: Annotated[int, Range(at_least=0, at_most=4096)] = 0
    """Padding on all sides of training images before the random crop, in pixels; needs --crop."""
    scale: tuple[Factor, Factor] = (1.0, 1.0)
    """Random scaling of training images: smallest and largest factor."""
    sampling: Literal["uniform", "rare_classes"] = "uniform"
    """Which images an epoch shows, and which crops of them: uniform shows each image once, at a
    random place; rare_classes replaces half of them by images and places that show a class, the
    rarer ones more often."""
    flip: bool | Literal["horizontal", "vertical", "both"] = True
    """Mirror training images at random: horizontal (or true) left to right, vertical upside down,
    both in each of the two directions."""
    rotate: Literal[0, 90] = 0
    """Turn training images at random: 90 by a multiple of 90 degrees. Whole images that are not
    square are turned by 0 or 180 degrees where --batch-size is above 1."""
    color: Share = 0.0
    """Strength of random changes of brightness, contrast, gamma and colour."""
    augment: OwnName | None = None
    """Augmentation of your own, after that of the other settings: MODULE:NAME of an object of
    albumentations, or of a function that takes and returns image and mask."""
    normalize: Literal["unit", "imagenet"] = "imagenet"
    """Normalisation of pixels: unit scales them to 0..1, as in the FC-DenseNet paper; imagenet then
    subtracts the mean and divides by the standard deviation of ImageNet."""
    cache: Literal["auto", "yes", "no"] = "auto"
    """Keep decoded images in memory; auto does so if they take at most a quarter of the free
    memory."""
    num_workers: Annotated[int, Range(at_least=0, at_most=256)] | Literal["auto"] = "auto"
    """Processes that load and augment images; auto starts up to 8 for a GPU, and none for a
    CPU, where loading takes little of the time."""

    # Optimisation.
    epochs: Count = 100
    """Passes over the training split."""
    max_steps: Annotated[int, Range(at_least=1, at_most=1_000_000_000)] | None = None
    """Stop after this many optimiser steps, even within an epoch. An incomplete epoch is not
    evaluated; its weights are saved as the final model only with --keep last."""
    batch_size: BatchSize = 4
    """Images in a batch, for each device."""
    accumulate: Count = 1
    """Batches whose gradients are averaged for one optimiser step."""
    optimizer: Literal["rmsprop", "sgd", "adam", "adamw"] = "adamw"
    """Optimiser: rmsprop is the paper's (epsilon inside the square root); sgd uses Nesterov
    momentum."""
    lr: PositiveNumber = 1e-3
    """Learning rate at the peak of the schedule."""
    momentum: ShareBelowOne = 0.9
    """Momentum of sgd; decay of the squared gradients of rmsprop; first beta of adam and
    adamw."""
    weight_decay: NumberOrZero = 1e-4
    """Weight decay of convolutions and linear layers; for rmsprop, sgd and adam it is added to the
    gradient."""
    decay_norms: bool = False
    """Apply weight decay to the scales of batch norm too, as in the papers; never to biases."""
    schedule: Literal["constant", "exponential", "steps", "cosine", "poly", "onecycle"] = "cosine"
    """Schedule of the learning rate; steps divides it by 10 after 50 % and again after 75 % of the
    run."""
    lr_decay: ShareAboveZero = 0.995
    """Factor by which the exponential schedule multiplies the learning rate after each epoch."""
    poly_power: PositiveNumber = 0.9
    """Exponent of the poly schedule."""
    warmup_epochs: NumberOrZero = 0.0
    """Epochs at the start in which the learning rate rises from near zero; 0.5 is half an epoch."""
    clip_norm: NumberOrZero = 0.0
    """Largest norm of the gradient; a larger gradient is scaled down to it. 0 does not clip."""
    dropout: ShareBelowOne | None = None
    """Dropout rate; null takes the default of the network (0.2 for
    FC-DenseNets, 0 for DenseNets)."""
    loss: Loss | OwnName = "cross_entropy"
    """Loss over the labelled pixels. A + adds two losses with equal weight. tversky is dice with
    missed pixels weighing more than false ones, 0.7 to 0.3. bce and focal are binary (sigmoid)
    losses for each class; predictions still use the softmax, so their probabilities are less
    reliable. MODULE:NAME is a loss of your own, a class or function of logits and labels."""
    label_smoothing: ShareBelowOne = 0.0
    """Part of the target that cross-entropy spreads evenly over all classes."""
    class_weights: Literal["none", "median_frequency", "capped"] | list[ClassWeight] = "none"
    """Class weights in cross-entropy and bce: median_frequency gives rare classes more weight;
    capped does the same, with weights limited to 0.5..5; or one number for each class, such as
    [0.2,0.8], with 0 for classes that shall not count."""
    ema_decay: ShareBelowOne = 0.0
    """Decay of an exponential moving average (EMA) of the weights, such as 0.999; 0 for none."""
    final_epochs: CountOrZero = 0
    """Number of epochs at the end of the run that train on whole images, without random crops and
    random scaling. --max-steps and --patience may end a run before them."""
    final_loss: Loss | OwnName | None = None
    """Loss of the final epochs; null keeps --loss."""
    recalibrate: bool = True
    """Measure the statistics of batch norm again before each validation and for the final model, on
    some training batches. Running averages lag behind the weights."""
    monitor: str = "mean_iou"
    """Score on the validation split that says which epoch is the best: mean_iou, accuracy,
    mean_dice, loss (cross-entropy), or that of one class, such as iou/road; also dice/, precision/
    and recall/."""
    patience: CountOrZero = 0
    """Stop after this many epochs without a better --monitor; 0 never stops early."""
    metrics: list[OwnName] | OwnName | None = None
    """Metrics of your own in each validation: MODULE:NAME, or a list, of classes of torchmetrics or
    of functions of the confusion matrix."""
    val_every: Count = 1
    """Evaluate on the validation split after every so many epochs."""
    eval_batch_size: BatchSize = 1
    """Images in a batch of the validation; more than 1 only if all images have the same size."""
    tile: TileSide = 1024
    """Side of overlapping tiles in which larger images are predicted in the validation, in pixels;
    auto is 1024. If memory runs out, smaller tiles are used. off predicts every image whole. A
    classifier has no tiles."""
    keep: Literal["best", "last"] = "best"
    """Epoch whose weights are saved as the final model: the one with the best --monitor, or the
    last."""

    callbacks: list[OwnName] | OwnName | None = None
    """Callbacks of your own, Lightning's: MODULE:NAME of a class or an object, or a list."""
    logger: list[Service | OwnName] | Service | OwnName | None = None
    """Loggers beside TensorBoard's: wandb (Weights & Biases) or mlflow, which need the extra of the
    same name; one of Lightning's loggers of your own, MODULE:NAME of a class or an object; or a
    list of them."""

    # The machine.
    accelerator: Accelerator = "auto"
    """Device to compute on; auto takes a GPU if there is one."""
    devices: Processes = 1
    """Number of GPUs (on a CPU: of processes) on each machine."""
    num_nodes: Processes = 1
    """Number of machines."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the computation; bf16 and fp16 are mixed precision. The weights are trained
    and saved in fp32."""
    compile: bool = False
    """Compile the network with torch.compile: the start takes longer, then each step is faster on a
    GPU. On a CPU, FC-DenseNets and DenseNets are trained faster without it."""
    channels_last: bool = True
    """Store activations in the channels-last format, which is faster on most devices."""
    memory_efficient: bool = False
    """Use less memory: keep only the outputs of convolutions, and compute the rest again in the
    backward pass. This is slower on a GPU. On a CPU in fp32 it is faster and always switched on."""
    sync_bn: bool = False
    """Compute the statistics of batch norm over the batches of all GPUs together."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale[0] > self.scale[1]:
            raise ValueError(explain("scale", self.scale, "the smaller factor first"))
        if self.pad and self.crop is None:
            raise ValueError(
                explain("pad", self.pad, "0 without --crop: it widens where crops are")
            )
        if self.crops_per_image > 1 and self.crop is None:
            raise ValueError(explain("crops_per_image", self.crops_per_image, "1 without --crop"))
        if self.crops_per_image > 1 and self.final_epochs:
            expected = "1 with --final-epochs, in which images are whole"
            raise ValueError(explain("crops_per_image", self.crops_per_image, expected))
        for name in ("final_epochs", "warmup_epochs"):
            if getattr(self, name) > self.epochs:
                expected = f"at most --epochs, which is {self.epochs}"
                raise ValueError(explain(name, getattr(self, name), expected))
        if self.final_loss is not None and self.final_epochs == 0:
            raise ValueError("--final-loss needs --final-epochs, the epochs in which it is used")
        for name in ("loss", "final_loss"):
            parts = str(getattr(self, name) or "cross_entropy").split("+")
            if ":" in parts[0]:  # one's own, which is asked when it is built
                continue
            if self.class_weights != "none" and not {"cross_entropy", "bce"} & {*parts}:
                expected = "one with cross_entropy or bce, which --class-weights is for"
                raise ValueError(explain(name, getattr(self, name), expected))
            if self.label_smoothing > 0 and "cross_entropy" not in parts:
                expected = "one with cross_entropy, which --label-smoothing is for"
                raise ValueError(explain(name, getattr(self, name), expected))
        if isinstance(self.class_weights, list) and not any(self.class_weights):
            expected = "a number above 0 for at least one class"
            raise ValueError(explain("class_weights", self.class_weights, expected))
        if self.resize is not None and self.image_scale != 1:
            expected = f"no --resize where --image-scale is {self.image_scale}: give one of the two"
            raise ValueError(explain("resize", list(self.resize), expected))
        smallest = smallest_crop(self.batch_size)
        if self.crop is not None and min(self.crop) < smallest:
            expected = f"sides of at least {smallest} pixels (for batch norm), or null"
            raise ValueError(explain("crop", list(self.crop), expected))

    @property
    def final_from(self) -> int | None:
        """First of the final epochs, counted from 0; None if there are none."""
        return self.epochs - self.final_epochs if self.final_epochs else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierTrainConfig(TrainConfig):
    """A training run of a classifier.

    The settings are those of `TrainConfig`. The defaults are for DenseNets on small images (arXiv
    1608.06993, section 4.2).
    """

    arch: str = "densenet_bc40_12"
    """Network: densenet121, densenet161, densenet169, densenet201 or densenet264; for small images
    densenet40_12, densenet100_12, densenet100_24, densenet_bc40_12, densenet_bc100_12,
    densenet_bc250_24 or densenet_bc190_40; or MODULE:NAME for a network of your own, a class or
    function that takes num_classes and in_channels."""
    data: str = "objects"
    """Data set: a name that comes with the package, such as cifar10; a YAML file; or a folder with
    train/CLASS/ and val/CLASS/."""
    init_from: str | None = None
    """Weights to start from: a run, a checkpoint, IMAGENET1K_V1, torchvision's weights, or a state
    dict of PyTorch, .pth or .safetensors. Layers that do not fit, such as the last one for other
    classes, start from random weights."""
    image_scale: ImageScale = 1.0
    """Factor by which images are shrunk: 0.5 halves both sides."""
    batch_size: BatchSize = 64
    """Images in a batch, for each device."""
    eval_batch_size: BatchSize = 64
    """Images in a batch of the validation; more than 1 only if all images have the same size."""
    optimizer: Literal["rmsprop", "sgd", "adam", "adamw"] = "sgd"
    """Optimiser: sgd uses Nesterov momentum."""
    lr: PositiveNumber = 0.1
    """Learning rate at the peak of the schedule."""
    recalibrate: bool = False
    """Measure the statistics of batch norm again before each validation and for the final model, on
    some training batches."""
    loss: Loss | OwnName = "cross_entropy"
    """Loss: cross_entropy, bce or focal; the others are for segmentation. bce and focal are binary
    (sigmoid) losses for each class; predictions still use the softmax, so their probabilities are
    less reliable. MODULE:NAME is a loss of your own, a class or function of logits and labels."""
    final_loss: Loss | OwnName | None = None
    """Loss of the final epochs, cross_entropy, bce, focal or MODULE:NAME; null keeps --loss."""
    dropout: ShareBelowOne | None = None
    """Dropout rate; null takes the default of the network, which is 0."""
    monitor: str = "top1"
    """Score on the validation split that says which epoch is the best: top1, top5, loss
    (cross-entropy), or that of one class, such as recall/car; also precision/."""


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """Settings as YAML holds them, without `resume`: a resumed run saves what it resumes."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(config).items()
        if name != "resume"
    }


def smallest_crop(batch_size: int) -> int:
    """Smallest side of training images, in pixels, with which batch norm still has two values."""
    return 32 if batch_size > 1 else 64
