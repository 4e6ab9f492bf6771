"""A single class is refused wherever classes have names; a network alone may have one output."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.data.catalog import load_spec
from tiramisu.inference.exported import Description
from tiramisu.models import build_model
from tiramisu.summary.config import SummaryConfig

INFO = {"arch": "fc56", "class_names": ["a"], "colors": [[0, 0, 0]]}
REFUSED = "expected 2 classes or more, not 1: what belongs to no other class is a class too"


def test_in_a_description(tmp_path: Path) -> None:
    for task in ("segmentation", "classification"):
        path = tmp_path / f"{task}.yaml"
        path.write_text(f"name: a\ntitle: A\ntask: {task}\nclasses: [a]\nsplits: {{}}\n")
        with pytest.raises(ValueError, match=f"{path.name}, line 4: classes: {REFUSED}"):
            load_spec(str(path))


def test_in_a_folder(tmp_path: Path, colored_classes: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match=f"one.train: {REFUSED}"):
        load_spec(str(colored_classes("red", name="one")))
    for kind in ("images", "masks"):
        (tmp_path / kind / "train").mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / kind / "train" / "a.png")
    with pytest.raises(ValueError, match=f"masks: {REFUSED}"):
        load_spec(str(tmp_path))
    (tmp_path / "classes.txt").write_text("crack\n")
    with pytest.raises(ValueError, match=f"classes.txt: {REFUSED}"):
        load_spec(str(tmp_path))


def test_in_a_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"class_names: {REFUSED}"):
        ModelInfo(arch="fc56", class_names=("a",), colors=((0, 0, 0),))
    (tmp_path / "model.safetensors").touch()
    for name in ("config.json", "model.json"):
        (tmp_path / name).write_text(json.dumps(INFO))
        with pytest.raises(ValueError, match=rf"{name} .*class_names: {REFUSED}"):
            load_model(tmp_path)
    text = json.dumps({"info": INFO, "precision": "fp32"})
    with pytest.raises(ValueError, match=rf"a\.onnx .*class_names: {REFUSED}"):
        Description.from_json(text, path=tmp_path / "a.onnx")


def test_on_the_command_line() -> None:
    with pytest.raises(ValueError, match="--num-classes is 1; expected a whole number, 2 to 65536"):
        SummaryConfig(num_classes=1)


@pytest.mark.parametrize("name", ["fc56", "densenet_bc40_12", "unet:densenet121"])
def test_a_network_may_have_one_output(name: str) -> None:
    assert build_model(name, num_classes=1).num_classes == 1
