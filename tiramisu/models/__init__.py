"""What a network is: plain PyTorch, knows no data, no files, no configs."""

from tiramisu.models.blocks import (
    DenseBlock,
    DenseLayer,
    LayerStyle,
    TransitionDown,
    TransitionUp,
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
from tiramisu.models.summary import Summary, SummaryRow, format_summary, summarize
from tiramisu.models.zoo import build_model, list_models

__all__ = [
    "DenseBlock",
    "DenseLayer",
    "DenseNet",
    "FCDenseNet",
    "LayerStyle",
    "Summary",
    "SummaryRow",
    "TransitionDown",
    "TransitionUp",
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
]
