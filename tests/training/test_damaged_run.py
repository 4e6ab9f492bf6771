"""A run whose files are damaged is not resumed: one line names the file, and nothing is changed."""

import copy
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tiramisu.training.config import TrainConfig
from tiramisu.training.preparing import prepare
from tiramisu.training.train import train

WEIGHT = "model.network.classifier.weight"
State = dict[str, Any]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, rectangles: Path) -> dict[str, Any]:
    """Settings of a run of two epochs that is done."""
    return {
        "arch": "fc56",
        "data": str(rectangles),
        "out": str(tmp_path_factory.mktemp("damaged") / "run"),
        "epochs": 2,
        "batch_size": 3,
        "crop": (32, 32),
        "accelerator": "cpu",
        "check_data": False,
    }


@pytest.fixture(scope="module")
def whole(settings: dict[str, Any]) -> Path:
    return train(TrainConfig(**settings)).folder


@pytest.fixture(scope="module")
def state(whole: Path) -> State:
    checkpoint: State = torch.load(whole / "checkpoints/last.ckpt", weights_only=True)
    return checkpoint


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of what is resumed of the run, to damage."""
    for name in ("config.yaml", "metrics.csv", "checkpoints/last.ckpt"):
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(whole / name, tmp_path / "run" / name)
    return tmp_path / "run"


def files_in(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture
def refuses(settings: dict[str, Any], run: Path) -> Callable[..., None]:
    def refuses(problem: str) -> None:
        before = files_in(run)
        config = TrainConfig(**{**settings, "out": None, "resume": str(run), "epochs": 3})
        with pytest.raises((ValueError, FileNotFoundError), match=rf"^[^\n]*{problem}[^\n]*$"):
            prepare(config)
        assert files_in(run) == before

    return refuses


def at(*place: Any, value: Any = None) -> Callable[[State], None]:
    """Changes the value at a place of a checkpoint; without a value, removes it."""

    def change(state: State) -> None:
        part: Any = state
        for key in place[:-1]:
            part = part[key]
        if value is None:
            del part[place[-1]]
        else:
            part[place[-1]] = value

    return change


def at_best(key: str, value: Any) -> Callable[[State], None]:
    """Changes a value in the state of the callback that keeps the best epoch."""

    def change(state: State) -> None:
        best = next(name for name in state["callbacks"] if name.startswith("Best"))
        state["callbacks"][best][key] = value

    return change


LOOP = ("loops", "fit_loop")
PROGRESS = (*LOOP, "epoch_loop.automatic_optimization.optim_progress", "optimizer", "step")
OPTIMIZER = ("optimizer_states", 0)
CHANGES = {
    **{
        f"no {part}": (at(part), f"{part}: missing")
        for part in (
            *("epoch", "global_step", "loops", "callbacks"),
            *("optimizer_states", "lr_schedulers"),
        )
    },
    **{
        f"{part} is a number": (at(part, value=-3), f"{part}: expected")
        for part in (
            *("epoch", "global_step", "loops", "callbacks"),
            *("optimizer_states", "lr_schedulers"),
        )
    },
    "epoch is text": (at("epoch", value="two"), "epoch: expected a whole number, not 'two'"),
    "another epoch": (at("epoch", value=0), r"loops: epoch and step are \(1, 4\)"),
    "another step": (at("global_step", value=2), r"loops: epoch and step are \(1, 4\)"),
    "no loop": (at(*LOOP), "loops.fit_loop"),
    "no epochs in the loop": (at(*LOOP, "epoch_progress"), "epoch_progress: missing"),
    "a word in the loop": (at(*PROGRESS, "total", "ready", value="x"), "ready: 'x'"),
    "a loop below zero": (at(*PROGRESS, "total", "ready", value=-1), "ready: -1"),
    "a list in the loop": (at(*LOOP, "epoch_progress", value=[]), "epoch_progress: "),
    "no callbacks": (at("callbacks", value={}), "callbacks.BestCheckpoint"),
    "a word as best score": (at_best("best_model_score", "x"), "best_model_score: 'x'"),
    "NaN as best score": (at_best("best_model_score", torch.tensor(math.nan)), "best_model_score"),
    "no state of the optimizer": (at(*OPTIMIZER, "state"), "optimizer_states.0.state"),
    "an empty optimizer": (at(*OPTIMIZER, "state", value={}), "optimizer_states.0.state"),
    "no groups": (at(*OPTIMIZER, "param_groups"), "param_groups"),
    "a word in a group": (at(*OPTIMIZER, "param_groups", 0, "eps", value="x"), "eps: 'x'"),
    "an average of another shape": (
        at(*OPTIMIZER, "state", 0, "exp_avg", value=torch.ones(2)),
        "state.0.exp_avg: ",
    ),
    "an average that is NaN": (
        at(*OPTIMIZER, "state", 1, "exp_avg", value=torch.full((48,), math.nan)),
        "state.1.exp_avg: ",
    ),
    "no average": (at(*OPTIMIZER, "state", 0, "exp_avg"), "state.0.exp_avg: missing"),
    "one parameter too many": (at(*OPTIMIZER, "state", 9999, value={}), "state.9999: "),
    "an empty schedule": (at("lr_schedulers", 0, value={}), "lr_schedulers.0.base_lrs: missing"),
    "no weight": (at("state_dict", WEIGHT), "1 layers missing"),
    "NaN as weight": (at("state_dict", WEIGHT, value=torch.full((3, 192, 1, 1), math.nan)), ""),
    "text as weight": (at("state_dict", WEIGHT, value="x"), "expected a tensor, not 'x'"),
    "another network": (at("model_info", "arch", value="fc67"), "expected fc56, not 'fc67'"),
}


@pytest.mark.parametrize(("change", "problem"), CHANGES.values(), ids=CHANGES)
def test_a_damaged_state_is_not_resumed(
    run: Path, state: State, refuses, change: Callable[[State], None], problem: str
) -> None:
    damaged = copy.deepcopy(state)
    change(damaged)
    torch.save(damaged, run / "checkpoints/last.ckpt")
    refuses(rf"last\.ckpt .*{problem}")


def test_a_state_of_an_older_version_is_resumed(
    run: Path, state: State, settings: dict[str, Any]
) -> None:
    older = copy.deepcopy(state)
    for group in older["optimizer_states"][0]["param_groups"]:
        del group["decoupled_weight_decay"]
    del older["lr_schedulers"][0]["_step_count"]
    torch.save(older, run / "checkpoints/last.ckpt")
    prepare(TrainConfig(**{**settings, "out": None, "resume": str(run), "epochs": 3}))


@pytest.mark.parametrize("content", [b"", b"text", bytes(99)], ids=["empty", "text", "zeros"])
def test_a_checkpoint_that_is_none_is_named(run: Path, refuses, content: bytes) -> None:
    (run / "checkpoints/last.ckpt").write_bytes(content)
    refuses(r"last\.ckpt is damaged")


@pytest.mark.parametrize("names", [("a", "b", "c"), ("class_0", "class_1")], ids=["new", "fewer"])
def test_other_classes_are_named(run: Path, state: State, refuses, names: tuple[str, ...]) -> None:
    info = {**state["model_info"], "class_names": names, "colors": ((0, 0, 0),) * len(names)}
    torch.save({**state, "model_info": info}, run / "checkpoints/last.ckpt")
    refuses(r"started with the classes .*, and its data set rectangles\d+ has class_0, class_1, ")


METRICS: dict[str, tuple[Callable[[str], str], str]] = {
    "empty": (lambda text: "", "ends too early"),
    "only a heading": (lambda text: text.splitlines(keepends=True)[0], "ends too early"),
    "cut in a number": (lambda text: text[:-3], "ends too early"),
    "cut in a row": (lambda text: text[:-40] + "\n", "line 3: .*expected a number, not ''"),
    "a word": (lambda text: text.replace("\n2,4,", "\n2,four,"), "line 3: step: expected a number"),
    "infinite": (lambda text: text.replace("\n1,2,", "\n1,inf,"), "line 2: step: expected"),
    "a fraction": (lambda text: text.replace("\n1,2,", "\n1.5,2,"), "line 2: epoch: expected a w"),
    "no column": (lambda text: text.replace("train_loss", "loss"), "line 2: train_loss: missing"),
    "no scores": (lambda text: text.replace("val_", "x_"), "line 2: missing: one of val_miou"),
    "more in a row": (lambda text: text[:-1] + ",7\n", "line 3: more: expected a number"),
    "another sign": (lambda text: text.replace(",", ";"), "line 2: epoch;step"),
    "a row twice": (lambda text: text + text.splitlines()[2] + "\n", "line 4: epoch 2 does not"),
    "another order": (
        lambda text: "\n".join(text.splitlines()[i] for i in (0, 2, 1)) + "\n",
        "line 3: epoch 1 does not follow 2",
    ),
    "a row less": (
        lambda text: "".join(text.splitlines(keepends=True)[:2]),
        "up to step 4 it has 1 epochs, the checkpoint 2",
    ),
    "NUL": (lambda text: "\0" * 50 + "\n", ""),
}


@pytest.mark.parametrize(("change", "problem"), METRICS.values(), ids=METRICS)
def test_damaged_metrics_are_named(
    run: Path, refuses, change: Callable[[str], str], problem: str
) -> None:
    path = run / "metrics.csv"
    path.write_text(change(path.read_text()))
    refuses(rf"metrics\.csv.*{problem}.*remove it")


def test_metrics_that_are_not_utf8_are_named(run: Path, refuses) -> None:
    (run / "metrics.csv").write_bytes(bytes(range(256)))
    refuses(r"metrics\.csv is no table of numbers")


def test_damaged_bytes_of_a_checkpoint_are_found(run: Path, refuses) -> None:
    path = run / "checkpoints/last.ckpt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refuses(r"last\.ckpt is damaged.*checksum")


def test_a_run_that_lost_its_checkpoints_is_not_started_again(run: Path, refuses) -> None:
    shutil.rmtree(run / "checkpoints")
    refuses(r"last\.ckpt is missing")


def test_without_metrics_a_run_goes_on(run: Path, settings: dict[str, Any]) -> None:
    (run / "metrics.csv").unlink()
    config = TrainConfig(**{**settings, "out": None, "resume": str(run), "epochs": 3})
    assert prepare(config).history.rows == []


CONFIGS = {
    "empty": b"",
    "a number": b"3",
    "a list": b"[]",
    "text": b"text",
    "a tag": b"!!python/object/apply:os.mkdir [evil]",
    "binary": bytes(range(256)),
    "not UTF-8": "data: caf\xe9".encode("latin-1"),
    "cut": b"data: [1",
    "deep": b"[" * 100_000,
    "a ring": b"data: &a [*a]",
    "data as a number": b"data: 5",
    "data as a list": b"data: [a]",
    "no data": b"data:",
    "data_root as a number": b"data_root: 7",
    "a number as key": b"5: 7",
}


@pytest.mark.parametrize("content", CONFIGS.values(), ids=CONFIGS)
def test_damaged_settings_are_named(
    run: Path, refuses, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.parent)
    (run / "config.yaml").write_bytes(content)
    refuses(r"config\.yaml")
    assert os.listdir() == ["run"]
