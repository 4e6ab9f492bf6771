import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pretended_workers import Pretended, pretend_workers

from tiramisu.checkpoints.checkpoint import save_model
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
from tiramisu.jobs import evaluate_job
from tiramisu.models import build_model


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    return pretend_workers(monkeypatch)


@pytest.fixture
def make(rectangles: Path, tmp_path: Path) -> Callable[..., EvalConfig]:
    torch.manual_seed(0)
    names, colors = ("class_0", "class_1", "class_2"), ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    info = ModelInfo(arch="fc56", class_names=names, colors=colors)
    save_model(SegmentationModel(build_model("fc56", num_classes=3), info), tmp_path / "model")

    def config(out: str, **changes: object) -> EvalConfig:
        return EvalConfig(
            checkpoint=str(tmp_path / "model"),
            data=str(rectangles),
            split="train",
            out=str(tmp_path / out),
            **changes,  # type: ignore[arg-type]
        )

    return config


def read(config: EvalConfig) -> list[str]:
    folder = Path(str(config.out))
    return [(folder / name).read_text() for name in ("scores.txt", "images.csv", "classes.csv")]


def error_rate(matrix: object) -> float:
    return 0.5


@pytest.mark.parametrize(
    "changes",
    [{}, {"bn": "recalibrated"}, {"bn": "batch", "batch_size": 2}, {"tta": True}, {"limit": 3}],
    ids=str,
)
def test_scores_are_those_of_one_process(
    make: Callable[..., EvalConfig], workers: Pretended, changes: dict
) -> None:
    alone, shared = make("alone", **changes), make("shared", workers=2, **changes)
    expected = evaluate_checkpoint(alone)
    scores = evaluate_job.evaluate_job(shared)
    assert len(workers.chunks) > 1, "the images are shared out"
    assert (scores.matrix == expected.matrix).all()
    assert read(shared) == read(alone)
    both = [json.loads((Path(str(c.out)) / "scores.json").read_text()) for c in (alone, shared)]
    assert both[0] == both[1]
    pages = [(Path(str(c.out)) / "report.html").read_text() for c in (alone, shared)]
    assert pages[0].count("data:image") == pages[1].count("data:image") > 6


def test_metrics_of_ones_own_are_added_up(
    make: Callable[..., EvalConfig], workers: Pretended
) -> None:
    metrics = ["torchmetrics.classification:MulticlassAccuracy", f"{__name__}:error_rate"]
    expected = evaluate_checkpoint(make("alone", metrics=metrics))
    scores = evaluate_job.evaluate_job(make("shared", metrics=metrics, workers=2))
    assert scores.own == expected.own
    assert len(scores.own) == 2


def test_random_passes_are_refused(make: Callable[..., EvalConfig]) -> None:
    with pytest.raises(ValueError, match="--mc-dropout depends on the order of the images"):
        evaluate_job.evaluate_job(make("out", workers=2, mc_dropout=2))


def test_a_lost_worker_is_told(make: Callable[..., EvalConfig], workers: Pretended) -> None:
    workers.loses_all = True
    with pytest.raises(OSError, match=r"the worker's process was killed, with one of the images "):
        evaluate_job.evaluate_job(make("out", workers=2))
