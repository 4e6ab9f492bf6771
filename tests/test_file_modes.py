"""Files are readable by whom the umask lets: none keeps the mode of a temporary file."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tiramisu.checkpoints.config import PublishConfig
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.checkpoints.publish import publish_checkpoint
from tiramisu.export.formats import export_model
from tiramisu.inference.config import PredictConfig
from tiramisu.inference.files import predict_files
from tiramisu.training.config import TrainConfig
from tiramisu.training.train import train

PACKAGES = {".pt2": "torch", ".onnx": "onnxscript", ".xml": "openvino"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_of_a_run_and_of_all_that_is_made_from_it(
    quick: Callable[..., TrainConfig],
    make_model: Callable[..., SegmentationModel],
    rectangles: Path,
    tmp_path: Path,
) -> None:
    before = os.umask(0o027)
    try:
        run = train(quick(epochs=1))
        publish_checkpoint(PublishConfig(checkpoint=str(run.folder), out=str(tmp_path / "public")))
        config = PredictConfig(checkpoint=str(run.folder), out=str(tmp_path / "predicted"))
        predict_files(run.model, [str(rectangles / "images" / "val")], config=config)
        for suffix, package in PACKAGES.items():
            if importlib.util.find_spec(package):
                export_model(make_model(), tmp_path / f"exported{suffix}")
    finally:
        os.umask(before)
    files = {path: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    names = {path.name for path in files}
    assert {"model.safetensors", "last.ckpt", "config.json", "val0_mask.png"} <= names
    assert [path for path, mode in files.items() if mode != 0o640] == []
