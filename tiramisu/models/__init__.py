"""What a network is: plain PyTorch, knows no data, no files, no configs."""

from tiramisu.models.backbone import Backbone, densenet_backbone
from tiramisu.models.blocks import (
    DenseBlock,
    DenseLayer,
    LayerStyle,
    TransitionDown,
    TransitionUp,
)
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
from tiramisu.models.summary.graph import Edge, NetworkGraph, Node, graph_network
from tiramisu.models.summary.layers import LayerRow, LayerTable, format_layers, list_layers
from tiramisu.models.summary.table import Summary, SummaryRow, format_summary, summarize
from tiramisu.models.weights import Transfer, load_fitting, load_public
from tiramisu.models.zoo import build_model, list_models, task_of

__all__ = [
    "Backbone",
    "DenseBlock",
    "DenseLayer",
    "DenseNet",
    "Edge",
    "FCDenseNet",
    "LayerRow",
    "LayerStyle",
    "LayerTable",
    "NetworkGraph",
    "Node",
    "Summary",
    "SummaryRow",
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
    "format_layers",
    "format_summary",
    "graph_network",
    "list_layers",
    "list_models",
    "load_fitting",
    "load_public",
    "summarize",
    "task_of",
]
