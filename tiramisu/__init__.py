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
    from tiramisu.data.dataset import (
        ClassificationDataset,
        ImageDataset,
        SegmentationDataset,
        make_loader,
        open_dataset,
    )
    from tiramisu.data.download import download_dataset
    from tiramisu.data.labels import IGNORE_INDEX
    from tiramisu.data.spec import list_datasets, load_spec
    from tiramisu.data.streets import draw_object, draw_scene
    from tiramisu.data.transforms import train_transform
    from tiramisu.deploy.classify import Classification, classify
    from tiramisu.deploy.config import ExportConfig, PredictConfig
    from tiramisu.deploy.diagram.drawing import draw_network
    from tiramisu.deploy.export.command import export_checkpoint
    from tiramisu.deploy.export.graph import export_model
    from tiramisu.deploy.export.runtime import ExportedModel, load_exported
    from tiramisu.deploy.predict import Prediction, predict, predict_probabilities
    from tiramisu.deploy.uncertainty import UncertainPrediction, predict_uncertainty
    from tiramisu.engine.checkpoint import load_model, save_model
    from tiramisu.engine.config import ClassifierTrainConfig, EvalConfig, TrainConfig
    from tiramisu.engine.evaluate import evaluate, evaluate_checkpoint
    from tiramisu.engine.metrics import ClassificationScores, SegmentationScores, score
    from tiramisu.engine.model import ClassificationModel, ModelInfo, SegmentationModel
    from tiramisu.engine.train import train
    from tiramisu.models import (
        Backbone,
        DenseNet,
        FCDenseNet,
        build_model,
        densenet121,
        densenet161,
        densenet169,
        densenet201,
        densenet264,
        densenet_backbone,
        fc_densenet56,
        fc_densenet67,
        fc_densenet103,
        format_layers,
        format_summary,
        graph_network,
        list_layers,
        list_models,
        load_fitting,
        load_public,
        summarize,
    )
    from tiramisu.models.smp import register_smp_encoders
    from tiramisu.shipped import list_weights

# Imported when first used: `tiramisu --help` and a wrong flag need no torch and answer at once.
_HOMES = {
    "tiramisu.data.check": ("check_dataset",),
    "tiramisu.data.dataset": (
        "ClassificationDataset",
        "ImageDataset",
        "SegmentationDataset",
        "make_loader",
        "open_dataset",
    ),
    "tiramisu.data.download": ("download_dataset",),
    "tiramisu.data.labels": ("IGNORE_INDEX",),
    "tiramisu.data.spec": ("list_datasets", "load_spec"),
    "tiramisu.data.streets": ("draw_object", "draw_scene"),
    "tiramisu.data.transforms": ("train_transform",),
    "tiramisu.deploy.classify": ("Classification", "classify"),
    "tiramisu.deploy.config": ("ExportConfig", "PredictConfig"),
    "tiramisu.deploy.diagram.drawing": ("draw_network",),
    "tiramisu.deploy.export.command": ("export_checkpoint",),
    "tiramisu.deploy.export.graph": ("export_model",),
    "tiramisu.deploy.export.runtime": ("ExportedModel", "load_exported"),
    "tiramisu.deploy.predict": ("Prediction", "predict", "predict_probabilities"),
    "tiramisu.deploy.uncertainty": ("UncertainPrediction", "predict_uncertainty"),
    "tiramisu.engine.checkpoint": ("load_model", "save_model"),
    "tiramisu.engine.config": ("ClassifierTrainConfig", "EvalConfig", "TrainConfig"),
    "tiramisu.engine.evaluate": ("evaluate", "evaluate_checkpoint"),
    "tiramisu.engine.metrics": ("ClassificationScores", "SegmentationScores", "score"),
    "tiramisu.engine.model": ("ClassificationModel", "ModelInfo", "SegmentationModel"),
    "tiramisu.engine.train": ("train",),
    "tiramisu.models": (
        "Backbone",
        "DenseNet",
        "FCDenseNet",
        "build_model",
        "densenet121",
        "densenet161",
        "densenet169",
        "densenet201",
        "densenet264",
        "densenet_backbone",
        "fc_densenet56",
        "fc_densenet67",
        "fc_densenet103",
        "format_layers",
        "format_summary",
        "graph_network",
        "list_layers",
        "list_models",
        "load_fitting",
        "load_public",
        "summarize",
    ),
    "tiramisu.models.smp": ("register_smp_encoders",),
    "tiramisu.shipped": ("list_weights",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tiramisu' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
