"""Settings: refused when out of range, saved as they are read, and the recipes as published."""

import ast
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

import tiramisu
from tiramisu.evaluation.config import EvalConfig
from tiramisu.inference.config import PredictConfig
from tiramisu.shipped import find_shipped
from tiramisu.training.config import TrainConfig


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"lr": 0.0},
        {"momentum": 1.0},
        {"image_scale": 1.5},
        {"scale": (1.5, 0.5)},
        {"color": 2.0},
        {"crop": (16, 64)},
        {"dropout": 1.0},
        {"ema_decay": 1.0},
        {"final_epochs": 101},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_value_out_of_range_names_its_flag(changes: dict) -> None:
    name = next(iter(changes)).replace("_", "-")
    with pytest.raises(ValueError, match=rf"--{name} is .*expected"):
        TrainConfig(**changes)


def test_two_ways_of_averaging_exclude_each_other() -> None:
    for other in ({"tta": True}, {"bn": "batch"}):
        with pytest.raises(ValueError, match="--mc-dropout"):
            EvalConfig(checkpoint="run", mc_dropout=5, **other)


def test_small_tile_and_empty_batch() -> None:
    with pytest.raises(ValueError, match="--tile is 8"):
        PredictConfig(checkpoint="x", tile=8)
    with pytest.raises(ValueError, match="--batch-size is 0"):
        EvalConfig(checkpoint="x", batch_size=0)


@pytest.mark.parametrize(
    "room", ["training", "evaluation", "inference", "export", "checkpoints", "benchmark"]
)
def test_every_field_has_its_docstring(room: str) -> None:
    source = Path(tiramisu.__file__).parent / room / "config.py"
    for node in ast.parse(source.read_text()).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field, after in pairwise([*node.body, None]):
            if isinstance(field, ast.AnnAssign):
                documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                assert documented, f"{node.name}: {ast.unparse(field)}"


@pytest.mark.parametrize("arch", ["fc56", "fc67", "fc103"])
def test_the_fast_recipe_does_not_choose_by_val(arch: str) -> None:
    recipe = yaml.safe_load(find_shipped("configs", f"camvid_{arch}_fast").read_text())
    assert recipe["arch"] == arch
    assert recipe["keep"] == "last"
    assert 0 < recipe["final_epochs"] < recipe["epochs"]


@pytest.mark.parametrize("arch", ["fc56", "fc67", "fc103"])
def test_the_papers_recipe(arch: str) -> None:
    crops = yaml.safe_load(find_shipped("configs", f"camvid_{arch}").read_text())
    whole = yaml.safe_load(find_shipped("configs", f"camvid_{arch}_finetune").read_text())
    assert crops["arch"] == whole["arch"] == arch
    for recipe in (crops, whole):
        assert recipe["optimizer"] == "rmsprop"
        assert recipe["lr_decay"] == 0.995
        # A penalty of 1e-4 times the sum of squares has this gradient.
        assert recipe["weight_decay"] == 2e-4
        assert recipe["decay_norms"] is True
    assert (crops["lr"], crops["batch_size"], crops["patience"]) == (1e-3, 3, 150)
    assert (whole["lr"], whole["batch_size"], whole["patience"]) == (1e-4, 1, 50)
    assert crops["crop"] == [224, 224]
    assert whole["crop"] is None
    assert whole["init_from"] == f"runs/camvid_{arch}"
