"""The settings of an export: each field is a flag of `tiramisu export`. No torch in this file."""

import dataclasses
from typing import Literal

from tiramisu.data.config import SourceOptions
from tiramisu.settings import Count, Seed


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig(SourceOptions):
    """An export of a trained model.

    Raises:
        ValueError: a field is out of its range, or two fields contradict each other.
    """

    checkpoint: str
    """Model: a run's folder, model.safetensors, a .ckpt, the name of a model that comes with the
    package, or hf://USER/NAME."""
    format: Literal["onnx", "openvino", "pt2", "html"] = "onnx"
    """Format: onnx, for ONNX Runtime and many other programs; openvino, the fastest on Intel and
    AMD processors; pt2, the format of torch.export; html, a web page that runs the model in the
    browser."""
    runtime: str | None = None
    """For --format html: folder or .tgz archive with the files of the npm package onnxruntime-web;
    by default a fixed version is downloaded once."""
    int8: bool = False
    """Compute in 8-bit integers, calibrated on images of the data set; only for onnx and
    openvino."""
    data: str | None = None
    """Data set for --int8: a name that comes with the package, a YAML file, or a folder; by default
    the one that the model was trained on."""
    data_root: str | None = None
    """Folder with the files of the data set; by default the one used in training, the root in its
    YAML, or data/NAME."""
    train_split: str = "train"
    """Split with the images that calibrate int8."""
    samples: Count = 100
    """Number of images that calibrate int8, chosen at random."""
    seed: Seed = 0
    """Seed of that random choice."""
    val_split: str = "val"
    """Split on which int8 is compared with fp32, by mean IoU (classifiers: top-1 accuracy)."""
    limit: Count | None = None
    """Compare them on this many images, evenly spread over the split; by default on all."""
    out: str | None = None
    """File to write; by default model.onnx, model.xml model.pt2 or model.html in the run's folder
    (with --int8 model_int8.onnx or model_int8.xml)."""
    overwrite: bool = False
    """Replace an earlier export."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.int8 and self.format == "pt2":
            raise ValueError(
                "--int8 with --format pt2: torch runs int8 fast only after it was compiled on the "
                "user's machine; export int8 as onnx or openvino"
            )
        if self.int8 and self.format == "html":
            raise ValueError(
                "--int8 with --format html: browsers compute int8 no faster; leave --int8 out"
            )
        if self.runtime is not None and self.format != "html":
            raise ValueError(
                f"--runtime with --format {self.format}: only a web page holds a runtime; expected "
                "--format html"
            )
