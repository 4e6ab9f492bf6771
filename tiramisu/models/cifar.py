"""The DenseNets for images of 32x32 pixels (arXiv 1608.06993, section 4 and table 2).

They have 10 classes unless `num_classes` is given. For larger images give `stem="imagenet"`.
"""

from __future__ import annotations

from typing_extensions import Unpack

from tiramisu.models.densenet import DenseNet, DenseNetOptions


def densenet40_12(**options: Unpack[DenseNetOptions]) -> DenseNet:
    """DenseNet, L = 40, k = 12: 1.0 M parameters."""
    return _plain(growth_rate=12, layers=12, **options)


def densenet100_12(**options: Unpack[DenseNetOptions]) -> DenseNet:
    """DenseNet, L = 100, k = 12: 7.0 M parameters."""
    return _plain(growth_rate=12, layers=32, **options)


def densenet100_24(**options: Unpack[DenseNetOptions]) -> DenseNet:
    """DenseNet, L = 100, k = 24: 27.2 M parameters."""
    return _plain(growth_rate=24, layers=32, **options)


def densenet_bc40_12(**options: Unpack[DenseNetOptions]) -> DenseNet:
    """DenseNet-BC, L = 40, k = 12: 0.2 M parameters. Not in the paper; for first runs."""
    return _bc(growth_rate=12, layers=6, **options)


def densenet_bc100_12(**options: Unpack[DenseNetOptions]) -> DenseNet:
    """DenseNet-BC, L = 100, k = 12: 0.8 M parameters."""
    return _bc(growth_rate=12, layers=16, **options)


def densenet_bc250_24(**options: Unpack[DenseNetOptions]) -> DenseNet:
    """DenseNet-BC, L = 250, k = 24: 15.3 M parameters."""
    return _bc(growth_rate=24, layers=41, **options)


def densenet_bc190_40(**options: Unpack[DenseNetOptions]) -> DenseNet:
    """DenseNet-BC, L = 190, k = 40: 25.6 M parameters."""
    return _bc(growth_rate=40, layers=31, **options)


def _plain(growth_rate: int, layers: int, **options: Unpack[DenseNetOptions]) -> DenseNet:
    """Three blocks of `layers` layers: L = 3 * layers + 4 convolutions and linear layers."""
    options = {"stem": "cifar", "num_classes": 10, **options}
    blocks = (layers, layers, layers)
    return DenseNet(
        growth_rate=growth_rate,
        block_config=blocks,
        bottleneck=None,
        compression=1.0,
        stem_width=16,
        **options,
    )


def _bc(growth_rate: int, layers: int, **options: Unpack[DenseNetOptions]) -> DenseNet:
    """Three blocks of `layers` layers with bottlenecks: L = 6 * layers + 4."""
    options = {"stem": "cifar", "num_classes": 10, **options}
    return DenseNet(growth_rate=growth_rate, block_config=(layers, layers, layers), **options)
