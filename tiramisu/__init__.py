"""Tiramisu: FC-DenseNets and DenseNets, trained, judged and used per pixel.

from tiramisu import build_model, load_model, predict

network = build_model("fc103", num_classes=11)      # logits (B, 11, H, W)
model = load_model("runs/camvid_fc103")             # a trained one
mask = predict(model, "street.jpg").mask            # uint8 (H, W)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiramisu.data.check import check_dataset
    from tiramisu.data.dataset import SegmentationDataset, make_loader
    from tiramisu.data.download import download_dataset
    from tiramisu.data.labels import IGNORE_INDEX
    from tiramisu.data.spec import list_datasets, load_spec
    from tiramisu.data.streets import draw_scene
    from tiramisu.data.transforms import train_transform
    from tiramisu.deploy.config import ExportConfig, PredictConfig
    from tiramisu.deploy.export.command import export_checkpoint
    from tiramisu.deploy.export.graph import export_model
    from tiramisu.deploy.export.runtime import ExportedModel, load_exported
    from tiramisu.deploy.predict import Prediction, predict, predict_probabilities
    from tiramisu.engine.checkpoint import ModelInfo, SegmentationModel, load_model, save_model
    from tiramisu.engine.config import EvalConfig, TrainConfig
    from tiramisu.engine.evaluate import evaluate, evaluate_checkpoint
    from tiramisu.engine.metrics import Scores, score
    from tiramisu.engine.train import train
    from tiramisu.models import (
        DenseNet,
        FCDenseNet,
        build_model,
        densenet121,
        densenet161,
        densenet169,
        densenet201,
        densenet264,
        fc_densenet56,
        fc_densenet67,
        fc_densenet103,
        format_summary,
        list_models,
        summarize,
    )

# Imported when first used: `tiramisu --help` and a wrong flag need no torch and answer at once.
_HOMES = {
    "tiramisu.data.check": ("check_dataset",),
    "tiramisu.data.dataset": ("SegmentationDataset", "make_loader"),
    "tiramisu.data.download": ("download_dataset",),
    "tiramisu.data.labels": ("IGNORE_INDEX",),
    "tiramisu.data.spec": ("list_datasets", "load_spec"),
    "tiramisu.data.streets": ("draw_scene",),
    "tiramisu.data.transforms": ("train_transform",),
    "tiramisu.deploy.config": ("ExportConfig", "PredictConfig"),
    "tiramisu.deploy.export.command": ("export_checkpoint",),
    "tiramisu.deploy.export.graph": ("export_model",),
    "tiramisu.deploy.export.runtime": ("ExportedModel", "load_exported"),
    "tiramisu.deploy.predict": ("Prediction", "predict", "predict_probabilities"),
    "tiramisu.engine.checkpoint": ("ModelInfo", "SegmentationModel", "load_model", "save_model"),
    "tiramisu.engine.config": ("EvalConfig", "TrainConfig"),
    "tiramisu.engine.evaluate": ("evaluate", "evaluate_checkpoint"),
    "tiramisu.engine.metrics": ("Scores", "score"),
    "tiramisu.engine.train": ("train",),
    "tiramisu.models": (
        "DenseNet",
        "FCDenseNet",
        "build_model",
        "densenet121",
        "densenet161",
        "densenet169",
        "densenet201",
        "densenet264",
        "fc_densenet56",
        "fc_densenet67",
        "fc_densenet103",
        "format_summary",
        "list_models",
        "summarize",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tiramisu' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
