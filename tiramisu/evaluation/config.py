"""The settings of an evaluation: each field is a flag of `tiramisu eval`. No torch in this file."""

import dataclasses
from typing import Annotated, Literal

from tiramisu.data.config import SourceOptions
from tiramisu.own_parts import OwnName
from tiramisu.settings import (
    Accelerator,
    BatchSize,
    Count,
    Processes,
    Range,
    TileSide,
    check_workers,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalConfig(SourceOptions):
    """An evaluation of a trained model.

    Raises:
        ValueError: a field is out of its range, or two fields contradict each other.
    """

    checkpoint: str
    """Model: a run's folder, model.safetensors, a .ckpt, an exported .onnx, .xml or .pt2, the name
    of a model that comes with the package, or hf://USER/NAME. Several, separated by commas, or the
    folder of `tiramisu folds`, are an ensemble: their probabilities are averaged."""
    data: str | None = None
    """Data set: a name that comes with the package, a YAML file, or a folder; by default the one
    that the model was trained on."""
    data_root: str | None = None
    """Folder with the files of the data set; by default the one used in training, the root in its
    YAML, or data/NAME."""
    split: str = "val"
    """Split to evaluate on."""
    limit: Count | None = None
    """Evaluate only so many images, at even distances over the split."""
    bn: Literal["running", "recalibrated", "batch"] = "running"
    """Mean and variance in batch norm: running averages from training; recalibrated, measured again
    on --train-split; or batch, computed from each test batch. With batch, a prediction depends on
    the other images of its batch: do not compare such scores with those of the first two."""
    train_split: str = "train"
    """Split for --bn recalibrated."""
    batch_size: BatchSize | None = None
    """Images in a batch; by default 1, or 10 for --bn batch, as the paper's authors did."""
    tile: TileSide = 1024
    """Side of overlapping tiles, in pixels; auto is 1024. Images that are not larger are predicted
    whole. If memory runs out, smaller tiles are used. off predicts every image whole; --bn batch
    always does."""
    tta: bool = False
    """Test-time augmentation: average over the scales 0.75, 1 and 1.25, each also mirrored."""
    mc_dropout: Literal[0] | Annotated[int, Range(at_least=2, at_most=1000)] = 0
    """Monte Carlo dropout: evaluate the mean of this many passes with random dropout, such as 20.
    For segmentation a picture shows where the passes disagree. 0: one pass without dropout."""
    metrics: list[OwnName] | OwnName | None = None
    """Metrics of your own: MODULE:NAME, or a list, of classes of torchmetrics or of functions of
    the confusion matrix. Those of the training are not taken over."""
    out: str | None = None
    """Folder for table, JSON and pictures; by default eval/DATA_SPLIT_BN in the run's folder."""
    overwrite: bool = False
    """Replace an earlier evaluation in that folder."""
    workers: Processes | None = None
    """Processes of this machine that share the images, and its cores or GPUs."""
    scheduler: str | None = None
    """Address of a Dask scheduler whose workers do the work, such as tcp://HOST:8786."""
    accelerator: Accelerator = "auto"
    """Device to compute on; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_workers(self.workers, self.scheduler)
        if self.tta and self.mc_dropout:
            raise ValueError("--tta and --mc-dropout are two ways to average; give one of them")
        if self.bn == "batch" and self.mc_dropout:
            raise ValueError(
                "--bn batch with --mc-dropout: the passes would differ by their batches too; give "
                "--bn running or recalibrated"
            )
