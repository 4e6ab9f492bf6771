"""The settings of an evaluation. No torch in this file."""

import dataclasses
from typing import Literal

from tiramisu.settings import Accelerator, require


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """An evaluation of a trained model."""

    checkpoint: str
    """Run's folder, model.safetensors, .ckpt, exported .onnx, .xml or .pt2, a shipped model's name,
    or hf://USER/NAME."""
    data: str | None = None
    """Data set: a shipped name, a YAML file, or a folder; by default the one trained on."""
    data_root: str | None = None
    """Folder that holds the data set's files; by default data/NAME."""
    split: str = "val"
    """Split to judge on."""
    bn: Literal["running", "recalibrated", "batch"] = "running"
    """Batch norm's statistics: as trained; measured anew on train_split; or of each batch itself,
    which looks at the other test images and is not comparable with the first two."""
    train_split: str = "train"
    """Split on which `--bn recalibrated` measures."""
    batch_size: int | None = None
    """Images at a time; by default 1, and 10 for `--bn batch`, as the paper's authors ran it."""
    tta: bool = False
    """Test-time augmentation: average over scales 0.75, 1 and 1.25, each also mirrored."""
    mc_dropout: int = 0
    """Monte Carlo dropout: judge the mean of so many passes with random dropout (20 will do), and
    show where they disagree; 0 is one pass without."""
    out: str | None = None
    """Folder for the table, JSON and picture; by default eval/DATA_SPLIT_BN in the run's folder."""
    overwrite: bool = False
    """Replace an earlier evaluation in that folder."""
    accelerator: Accelerator = "auto"
    """Where to compute."""

    def __post_init__(self) -> None:
        require(
            self.batch_size is None or self.batch_size >= 1,
            "batch_size",
            self.batch_size,
            "1 or more",
        )
        require(
            self.mc_dropout == 0 or self.mc_dropout >= 2,
            "mc_dropout",
            self.mc_dropout,
            "0 (off), or 2 passes or more",
        )
        if self.tta and self.mc_dropout:
            raise ValueError("--tta and --mc-dropout average in two ways; give one of them")
        if self.bn == "batch" and self.mc_dropout:
            raise ValueError(
                "--bn batch --mc-dropout: passes would differ by their batches too; give --bn "
                "running or recalibrated"
            )
