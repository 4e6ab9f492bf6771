"""The settings of an export. No torch in this file."""

import dataclasses
from typing import Literal

from tiramisu.settings import require


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """An export of a trained model."""

    checkpoint: str
    """Run's folder, model.safetensors, .ckpt, a shipped model's name, or hf://USER/NAME."""
    format: Literal["onnx", "openvino", "pt2"] = "onnx"
    """onnx (ONNX Runtime and many others), openvino (the fastest on Intel and AMD processors) or
    pt2 (torch.export)."""
    int8: bool = False
    """Compute in 8-bit integers, calibrated on the data set; onnx and openvino only."""
    data: str | None = None
    """Data set for int8: a shipped name, a YAML file, or a folder; by default that trained on."""
    data_root: str | None = None
    """Folder that holds the data set's files; by default data/NAME."""
    train_split: str = "train"
    """Split whose images calibrate int8."""
    samples: int = 100
    """Images that calibrate int8, drawn at random."""
    seed: int = 0
    """Of that draw."""
    val_split: str = "val"
    """Split on which the loss in mean IoU (of classifiers, in top-1) is measured."""
    limit: int | None = None
    """Measure it on this many images of the split, spread evenly, not on all."""
    out: str | None = None
    """File to write; by default model.onnx, model.xml or model.pt2 in the run's folder, and
    model_int8.* for int8."""
    overwrite: bool = False
    """Replace an earlier export."""

    def __post_init__(self) -> None:
        require(self.samples >= 1, "samples", self.samples, "1 or more")
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        require(self.limit is None or self.limit >= 1, "limit", self.limit, "1 or more")
        if self.int8 and self.format == "pt2":
            raise ValueError(
                "--int8 --format pt2: torch runs int8 fast only after compiling it with a C++ "
                "compiler on the user's machine; export int8 as onnx or openvino"
            )
