"""Every field of every settings class refuses what can only be a mistake, by the flag's name."""

import dataclasses
import typing
from typing import Any, Literal

import pytest

from tiramisu.benchmark.config import BenchmarkConfig
from tiramisu.checkpoints.config import PublishConfig
from tiramisu.data.config import CheckConfig, DownloadConfig
from tiramisu.evaluation.config import EvalConfig
from tiramisu.export.config import ExportConfig
from tiramisu.inference.config import ClassifyConfig, PredictConfig
from tiramisu.settings import kinds_of
from tiramisu.summary.config import SummaryConfig
from tiramisu.training.config import ClassifierTrainConfig, TrainConfig

NEEDED: dict[type, dict[str, Any]] = {
    TrainConfig: {},
    ClassifierTrainConfig: {},
    EvalConfig: {"checkpoint": "x"},
    PredictConfig: {"checkpoint": "x"},
    ClassifyConfig: {"checkpoint": "x"},
    ExportConfig: {"checkpoint": "x"},
    PublishConfig: {"checkpoint": "x", "out": "y"},
    BenchmarkConfig: {},
    SummaryConfig: {},
    CheckConfig: {"data": "x"},
    DownloadConfig: {"data": "x"},
}
NUMBERS = (-1, 10**12, 10**400, -(10**400), float("nan"), float("inf"), -float("inf"), -1e-9, 1e12)
WRONG = (*NUMBERS, "", "two\nlines", "a\0b", "\udcff", "x" * 100_000, [], [[]], {}, [1, 2, 3], b"x")
FIELDS = [(kind, name) for kind in NEEDED for name in kinds_of(kind)]


def leaves(kind: Any) -> set[Any]:
    """The plain types that a field may hold, also within lists."""
    if typing.get_origin(kind) is Literal:
        return set()
    parts = [part for part in typing.get_args(kind) if not dataclasses.is_dataclass(part)]
    return set().union(*map(leaves, parts)) if parts else {kind}


@pytest.mark.parametrize(
    ("config", "name"), FIELDS, ids=[f"{kind.__name__}.{name}" for kind, name in FIELDS]
)
def test_a_field_refuses_what_can_only_be_a_mistake(config: type, name: str) -> None:
    kind = kinds_of(config)[name]
    may_be_list = any(typing.get_origin(part) is list for part in (kind, *typing.get_args(kind)))
    flag = "--" + name.replace("_", "-")
    for value in WRONG:
        if may_be_list and value in ([], [1, 2, 3]):
            continue  # checked elsewhere
        with pytest.raises(ValueError, match=rf"{flag} is .*; expected ") as error:
            config(**{**NEEDED[config], name: value})
        assert len(str(error.value)) < 700
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("config", "name"),
    [(kind, name) for kind, name in FIELDS if leaves(kinds_of(kind)[name]) & {int, float}],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_number_is_no_boolean_and_no_text(config: type, name: str) -> None:
    nothing = () if type(None) in leaves(kinds_of(config)[name]) else (None,)
    for value in (True, "1", *nothing):
        with pytest.raises(ValueError, match=r"expected .*number"):
            config(**{**NEEDED[config], name: value})


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        (TrainConfig, {"crop": (31, 64)}),
        (TrainConfig, {"crop": (100_000, 100_000)}),
        (TrainConfig, {"crop": (64,)}),
        (TrainConfig, {"crop": (64, 64, 64)}),
        (TrainConfig, {"crop": (64, None)}),
        (TrainConfig, {"pad": 1_000_000, "crop": (64, 64)}),
        (TrainConfig, {"pad": 4}),  # without a crop
        (TrainConfig, {"scale": (1.0, 1e9)}),
        (TrainConfig, {"scale": (0.0, 1.0)}),
        (TrainConfig, {"scale": (1.0, float("nan"))}),
        (TrainConfig, {"scale": (2.0, 1.0)}),
        (TrainConfig, {"image_scale": 1e-9}),
        (TrainConfig, {"resize": (31, 64)}),
        (TrainConfig, {"rotate": 45}),
        (TrainConfig, {"class_weights": []}),
        (TrainConfig, {"class_weights": [0.0, 0.0]}),
        (TrainConfig, {"class_weights": [1.0, -1.0]}),
        (TrainConfig, {"class_weights": [1.0, True]}),
        (TrainConfig, {"warmup_epochs": 101.0}),
        (TrainConfig, {"batch_size": 1_000_000_000}),
        (TrainConfig, {"num_workers": 100_000}),
        (TrainConfig, {"devices": 10_000}),
        (TrainConfig, {"num_nodes": 10_000}),
        (TrainConfig, {"seed": 2**70}),
        (PredictConfig, {"tile": 10**9}),
        (PredictConfig, {"tile": 0}),
        (TrainConfig, {"tile": 63}),
        (EvalConfig, {"tile": 10**9}),
        (ClassifyConfig, {"top": 10**9}),
        (SummaryConfig, {"num_classes": 10**9}),
        (SummaryConfig, {"size": (10**9, 10**9)}),
        (SummaryConfig, {"size": (0, 32)}),
        (BenchmarkConfig, {"size": (10**6, 10**6)}),
        (BenchmarkConfig, {"size": [(32, 32), (1, 1)]}),
        (BenchmarkConfig, {"batch": [1, 0]}),
        (BenchmarkConfig, {"threads": 100_000}),
    ],
    ids=str,
)
def test_settings_out_of_reach(config: type, changes: dict[str, Any]) -> None:
    flag = "--" + next(iter(changes)).replace("_", "-")
    with pytest.raises(ValueError, match=rf"{flag} is .*; expected "):
        config(**{**NEEDED[config], **changes})
