"""A network that is small enough for many tests."""

from typing import Any

from tiramisu.models import FCDenseNet


def tiny_fcdensenet(**options: Any) -> FCDenseNet:
    """An FC-DenseNet of two scales; keywords change it."""
    usual: dict[str, Any] = {
        "growth_rate": 3,
        "down_blocks": (2, 1),
        "bottleneck_layers": 2,
        "up_blocks": (1, 2),
        "stem_width": 5,
        "num_classes": 4,
        "dropout": 0.0,
    }
    return FCDenseNet(**usual | options)
