"""The settings of an export: each field is a flag of `tiramisu export`. No torch in this file."""

import dataclasses
from typing import Literal

from tiramisu.settings import Count, Seed, check_ranges


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """An export of a trained model.

    Raises:
        ValueError: a field is out of its range, or two fields contradict each other.
    """

    checkpoint: str
    """Model: a run's folder, model.safetensors, a .ckpt, the name of a shipped model, or
    hf://USER/NAME."""
    format: Literal["onnx", "openvino", "pt2"] = "onnx"
    """Format: onnx for ONNX Runtime and many others; openvino, the fastest on Intel and AMD
    processors; pt2 for torch.export."""
    int8: bool = False
    """Compute in 8-bit integers, calibrated on the data set; for onnx and openvino."""
    data: str | None = None
    """Data set for int8: a shipped name, a YAML file, or a folder; by default the one it was
    trained on."""
    data_root: str | None = None
    """Folder with the files of the data set; by default data/NAME."""
    train_split: str = "train"
    """Split whose images calibrate int8."""
    samples: Count = 100
    """Number of images that calibrate int8, drawn at random."""
    seed: Seed = 0
    """Seed of that draw."""
    val_split: str = "val"
    """Split on which the change of mean IoU (of top-1 accuracy for classifiers) is measured."""
    limit: Count | None = None
    """Measure it on this many images, evenly spread over the split; by default on all."""
    out: str | None = None
    """File to write; by default model.onnx, model.xml or model.pt2 in the run's folder, and
    model_int8.* for int8."""
    overwrite: bool = False
    """Replace an earlier export."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.int8 and self.format == "pt2":
            raise ValueError(
                "--int8 with --format pt2: torch runs int8 fast only after it was compiled on the "
                "user's machine; export int8 as onnx or openvino"
            )
