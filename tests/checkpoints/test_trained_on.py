"""The data set to evaluate a model on."""

import dataclasses
from pathlib import Path

import pytest
import yaml
from tiny_data import random_label, write_pair

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.trained_on import find_data
from tiramisu.data.catalog import load_spec
from tiramisu.data.config import SourceOptions
from tiramisu.data.dataset import ImageDataset

CAMVID = load_spec("camvid")
INFO = ModelInfo(
    arch="fc56", class_names=CAMVID.class_names, colors=((0, 0, 0),) * 11, dataset="camvid"
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "model.safetensors").write_bytes(b"")
    settings = {"data": "camvid", "data_root": "/data/frames"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path


def test_by_default_it_is_that_of_the_run(run: Path) -> None:
    for checkpoint in (run, str(run / "model.safetensors")):
        data, spec, root = find_data(INFO, checkpoint=checkpoint, data=None, data_root=None)
        assert (data, spec.name, root) == ("camvid", "camvid", "/data/frames")


def test_another_folder_or_data_set_can_be_given(run: Path) -> None:
    *_, root = find_data(INFO, checkpoint=run, data="camvid", data_root="/other")
    assert root == "/other"
    data, spec, root = find_data(INFO, checkpoint=run, data="streets", data_root=None)
    assert (data, spec.name, root) == ("streets", "streets", None)


def test_without_the_run_it_is_the_data_set_of_the_model(run: Path) -> None:
    (run / "config.yaml").unlink()
    data, spec, root = find_data(INFO, checkpoint=run, data=None, data_root=None)
    assert (data, spec.name, root) == ("camvid", "camvid", None)


def test_other_classes_or_another_task_are_refused(run: Path) -> None:
    with pytest.raises(ValueError, match=r"the model has the classes Sky, .*cityscapes"):
        find_data(INFO, checkpoint=run, data="cityscapes", data_root=None)
    with pytest.raises(ValueError, match=r"the model \(fc56\) is for segmentation"):
        find_data(INFO, checkpoint=run, data="objects", data_root=None)


def test_the_part_for_validation_is_that_of_the_run(run: Path, tmp_path: Path) -> None:
    for i in range(10):
        pair = (tmp_path / f"flat/{part}/{i}.png" for part in ("images", "masks"))
        write_pair(*pair, random_label(i), seed=i)
    data = str(tmp_path / "flat")
    trained = load_spec(data, SourceOptions(val_fraction=0.3))
    info = dataclasses.replace(INFO, class_names=trained.class_names, colors=((0, 0, 0),) * 3)
    (run / "config.yaml").write_text(yaml.safe_dump({"data": data, "val_fraction": 0.3}))
    names = {split: ImageDataset(trained, split, root=None).names for split in ("train", "val")}
    for given in (None, data):
        _, spec, root = find_data(info, checkpoint=run, data=given, data_root=None)
        for split in ("train", "val"):
            assert ImageDataset(spec, split, root=root).names == names[split]
    assert len(names["val"]) == 3
    other = SourceOptions(val_fraction=0.5)
    _, spec, root = find_data(info, checkpoint=run, data=None, data_root=None, options=other)
    assert len(ImageDataset(spec, "val", root=root)) == 5
