"""Times in turns, equal logits, and what becomes of contenders that cannot run."""

import itertools
from pathlib import Path

import pytest
import torch

from tiramisu.benchmark import comparison, steps
from tiramisu.benchmark.comparison import UnavailableError, compare, compare_logits, take_turns
from tiramisu.benchmark.contenders import Case
from tiramisu.benchmark.steps import Step

CASE = Case(arch="fc56", mode="infer", batch=1, height=32, width=32)


class FakeClock:
    """Notes what is timed; each step takes the seconds that it returns."""

    def __init__(self) -> None:
        self.timed: list[tuple[Step, int]] = []

    def __call__(self, step: Step, repeats: int) -> float:
        self.timed.append((step, repeats))
        seconds = step()
        assert isinstance(seconds, float)
        return repeats * seconds


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "MATRIX_SIDES", {"cpu": 64})
    monkeypatch.setattr(comparison, "TURN_SECONDS", 0.0)


def test_contenders_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "TURN_SECONDS", 0.2)
    clock = FakeClock()
    monkeypatch.setattr(comparison, "time_step", clock)
    slow, fast = (lambda: 3.0), (lambda: 0.05)
    times = take_turns({"slow": slow, "fast": fast}, rounds=4, seconds=1e9)
    # First a step that is not counted; then the fast one as often as fits into 0.2 s.
    assert clock.timed == [(slow, 1), (slow, 1), (fast, 1), (fast, 4)] * 4
    assert times == {"slow": [3.0] * 4, "fast": pytest.approx([0.05] * 4)}


def test_the_first_step_of_a_turn_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.cycle([9.0, 3.0])  # the first step finds cold caches
    monkeypatch.setattr(comparison, "time_step", lambda step, repeats: next(seconds))
    times = take_turns({"a": lambda: None}, rounds=2, seconds=0)
    assert times == {"a": [3.0, 3.0]}


@pytest.mark.parametrize(("rounds", "seconds", "turns"), [(9, 0, 3), (2, 0, 2), (9, 25, 5)])
def test_turns_end_after_their_time(
    rounds: int, seconds: float, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "time_step", FakeClock())
    times = take_turns({"a": lambda: 3.0}, rounds=rounds, seconds=seconds)
    assert times == {"a": [3.0] * turns}


def test_every_repetition_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 12.5])
    monkeypatch.setattr(comparison, "timer", lambda: next(now))
    done: list[int] = []
    assert comparison.time_step(lambda: done.append(1), 5) == 2.5
    assert len(done) == 5


@pytest.mark.parametrize("wrong", [1.0, float("nan")])
def test_a_network_with_other_logits_is_refused(wrong: float) -> None:
    logits = {"plain": torch.tensor([2.0, -10.0]), "ours": torch.tensor([2.25, -10.0])}
    assert compare_logits(logits, "ours", CASE) == 0.25
    assert compare_logits(logits, "plain", CASE) is None
    logits["ours"][0] += wrong
    with pytest.raises(UnavailableError, match="differ from those of plain by"):
        compare_logits(logits, "ours", CASE)
    # Rounding to fewer bits is expected, and another network computes something else.
    logits["ours+openvino-int8"] = logits["smp:unet/resnet18"] = logits.pop("ours")
    assert compare_logits(logits, "ours+openvino-int8", CASE) != 0
    assert compare_logits(logits, "smp:unet/resnet18", CASE) is None


@pytest.mark.parametrize("mode", ["infer", "train"])
def test_ours_and_plain_compute_the_same(mode: str) -> None:
    case = Case(arch="fc56", mode=mode, batch=2, height=32, width=32)  # type: ignore[arg-type]
    compared = compare(["plain", "ours"], case, rounds=2, seconds=0.0, memory=False)
    plain, ours = compared.results
    assert [plain.contender, ours.contender] == ["plain", "ours"]
    assert plain.difference is None
    assert ours.difference is not None
    assert 0 < ours.difference < 1e-4
    assert plain.multiply_adds == ours.multiply_adds > 0
    assert len(plain.seconds) == len(ours.seconds) == 2
    assert min(*plain.seconds, *ours.seconds) > 0
    assert compared.limit > 0
    assert plain.setup_seconds == 0


def test_a_contender_that_cannot_run_is_skipped_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("onnx is not installed\ninstall it")

    monkeypatch.setattr(steps, "export_model", fail)
    compared = compare(["ours+onnx", "ours"], CASE, rounds=1, seconds=0.0, memory=False)
    assert [result.contender for result in compared.results] == ["ours"]
    assert compared.notes == {"ours+onnx": "skipped: onnx is not installed"}
    with pytest.raises(UnavailableError, match="ours\\+onnx skipped: onnx is not installed"):
        compare(["ours+onnx"], CASE, rounds=1, seconds=0.0, memory=False)


def test_errors_of_our_own_code_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(comparison, "load_contender", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        compare(["ours"], CASE, rounds=1, seconds=0.0, memory=False)


def test_memory_is_measured_for_each_contender(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(name: str, case: Case, *, folder: Path) -> int:
        if name == "plain":
            raise RuntimeError("ended abruptly")
        return 1234

    monkeypatch.setattr(comparison, "measure_in_new_process", measure)
    compared = compare(["plain", "ours"], CASE, rounds=1, seconds=0.0, memory=True)
    assert [result.peak_bytes for result in compared.results] == [None, 1234]
    assert compared.notes == {"plain": "memory not measured: ended abruptly"}


def test_an_exported_contender_runs_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the two functions that export and load, which are tested elsewhere."""
    exported: dict[Path, object] = {}

    def export_model(model: object, path: Path, *, calibration: object, int8: bool) -> None:
        exported[path] = model
        assert path.suffix == ".xml"
        assert int8 == bool(calibration)

    monkeypatch.setattr(steps, "export_model", export_model)
    monkeypatch.setattr(steps, "load_exported", exported.__getitem__)
    names = ["ours", "ours+openvino", "ours+openvino-int8"]
    compared = compare(names, CASE, rounds=1, seconds=0.0, memory=False)
    assert len(exported) == 2
    for result in compared.results[1:]:
        assert result.difference is not None
        assert result.difference < 1e-4
        assert result.setup_seconds > 0
