"""The published model: loaded once, recalibrated, evaluated, saved once, and never lost."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from runs import interrupt

from tiramisu.checkpoints import checkpoint as checkpoint_module
from tiramisu.checkpoints import model as model_module
from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.model_files import read_checkpoint
from tiramisu.data.catalog import load_spec
from tiramisu.data.dataset import open_split
from tiramisu.evaluation.evaluate import evaluate
from tiramisu.training import train as train_module
from tiramisu.training.config import TrainConfig
from tiramisu.training.preparing import prepare
from tiramisu.training.train import fit, publish, train

Quick = Callable[..., TrainConfig]
CLASSIFIER = "model.network.classifier.weight"


def network_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(folder).network.state_dict()


def same_weights(folder: Path, checkpoint: str) -> bool:
    """Whether the published weights are those of best.ckpt or last.ckpt."""
    published = network_weights(folder)
    expected = network_weights(folder / "checkpoints" / f"{checkpoint}.ckpt")
    return all(torch.equal(published[name], expected[name]) for name in expected)


@pytest.mark.parametrize("recalibrate", [False, True])
def test_weights_are_loaded_once_and_saved_once(
    quick: Quick, monkeypatch: pytest.MonkeyPatch, recalibrate: bool
) -> None:
    calls: list[str] = []
    for module, name in ((model_module, "load_weights"), (checkpoint_module, "save_weights")):
        original = getattr(module, name)

        def counted(*args, name: str = name, original=original, **kwargs):
            calls.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)
    train(quick(epochs=1, recalibrate=recalibrate))
    assert calls == ["load_weights", "save_weights"]


def test_model_and_scores_hold_the_same_figures(quick: Quick) -> None:
    run = train(quick())
    metrics = json.loads((run.folder / "model.json").read_text())["metrics"]
    scores = json.loads((run.folder / "scores" / "scores.json").read_text())
    assert metrics.keys() == {"mean_iou", "pixel_accuracy"}
    for name, percent in metrics.items():
        assert percent == pytest.approx(100 * scores[name], abs=0.01)
        assert percent == pytest.approx(100 * getattr(run.scores, name))


def test_recalibrated_model_is_the_one_that_is_evaluated(quick: Quick) -> None:
    # After one step, without a validation, the running statistics are far from those of the images.
    config = quick(epochs=1, max_steps=1, keep="last")
    run = train(config)
    val = open_split(load_spec(config.data), "val", root=None, image_scale=1.0)
    trained = load_model(run.folder / "checkpoints" / "last.ckpt")
    assert (run.scores.matrix == evaluate(run.model, val).matrix).all()
    assert (run.scores.matrix != evaluate(trained, val).matrix).any()


@pytest.mark.parametrize("keep", ["best", "last"])
def test_epoch_that_is_kept(quick: Quick, keep: str) -> None:
    prepared = prepare(quick(epochs=1, keep=keep))
    fit(prepared)
    # After one epoch both are the same.
    path = prepared.folder / "checkpoints" / "best.ckpt"
    best = torch.load(path, weights_only=True)
    best["state_dict"][CLASSIFIER] *= -1
    torch.save(best, path)
    run = publish(prepared)
    assert [same_weights(run.folder, name) for name in ("best", "last")] == [
        keep == "best",
        keep == "last",
    ]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_evaluation_that_fails_leaves_a_published_model(
    quick: Quick, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*_, **__) -> None:
        raise error

    monkeypatch.setattr(train_module, "evaluate_checkpoint", fail)
    config = quick(epochs=1)
    with pytest.raises(error):
        train(config)
    folder = Path(str(config.out))
    assert (folder / "model.safetensors").is_file()
    assert same_weights(folder, "best")
    assert load_model(folder).info.metrics == {}
    assert (folder / "curves.png").is_file()


def test_interrupted_run_publishes_its_complete_epochs(quick: Quick) -> None:
    folder = interrupt(quick(keep="last"), epoch=1)
    assert same_weights(folder, "last")
    assert load_model(folder).info.metrics == {}
    assert (folder / "curves.png").is_file()


def test_run_interrupted_in_its_first_epoch_leaves_nothing(quick: Quick) -> None:
    assert not interrupt(quick(), epoch=0).exists()


def test_resumed_run_interrupted_at_once_keeps_the_evaluated_model(quick: Quick) -> None:
    run = train(quick(epochs=1))
    before = (run.folder / "model.json").read_bytes()
    assert interrupt(quick(resume=str(run.folder)), epoch=1) == run.folder
    assert (run.folder / "model.json").read_bytes() == before
    interrupt(quick(resume=str(run.folder), epochs=3), epoch=2)
    assert load_model(run.folder).info.metrics == {}  # another epoch's weights by now
    saved = read_checkpoint(run.folder / "checkpoints" / "last.ckpt")
    assert saved["epoch"] == 1


def test_resumed_run_publishes_the_new_weights(quick: Quick) -> None:
    first = train(quick(epochs=1, keep="last"))
    before = network_weights(first.folder)
    second = train(quick(keep="last", resume=str(first.folder)))
    assert [row["epoch"] for row in second.history] == [1, 2]
    assert same_weights(second.folder, "last")
    name = CLASSIFIER.removeprefix("model.network.")
    assert not torch.equal(network_weights(second.folder)[name], before[name])
