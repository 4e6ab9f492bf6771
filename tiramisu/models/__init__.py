"""What a network is: plain PyTorch, knows no data, no files, no configs."""

from tiramisu.models.backbone import Backbone
from tiramisu.models.blocks import DenseBlock, DenseLayer, LayerStyle, TransitionDown, TransitionUp
from tiramisu.models.cifar import (
    densenet40_12,
    densenet100_12,
    densenet100_24,
    densenet_bc40_12,
    densenet_bc100_12,
    densenet_bc190_40,
    densenet_bc250_24,
)
from tiramisu.models.densenet import (
    DenseNet,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
    densenet264,
)
from tiramisu.models.fcdensenet import FCDenseNet, fc_densenet56, fc_densenet67, fc_densenet103
from tiramisu.models.pretrained import Transfer, load_fitting, load_public
from tiramisu.models.zoo import build_model, densenet_backbone, list_models, task_of

__all__ = [
    "Backbone",
    "DenseBlock",
    "DenseLayer",
    "DenseNet",
    "FCDenseNet",
    "LayerStyle",
    "Transfer",
    "TransitionDown",
    "TransitionUp",
    "build_model",
    "densenet40_12",
    "densenet100_12",
    "densenet100_24",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "densenet264",
    "densenet_backbone",
    "densenet_bc40_12",
    "densenet_bc100_12",
    "densenet_bc190_40",
    "densenet_bc250_24",
    "fc_densenet56",
    "fc_densenet67",
    "fc_densenet103",
    "list_models",
    "load_fitting",
    "load_public",
    "task_of",
]
