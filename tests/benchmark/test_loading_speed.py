"""How fast images of a data set are loaded, and trained."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tiramisu.benchmark import loading_speed, steps
from tiramisu.benchmark.benchmark import run_benchmark
from tiramisu.benchmark.config import BenchmarkConfig
from tiramisu.benchmark.contenders import Case
from tiramisu.benchmark.loading_speed import compare_loading

CASE = Case(arch="fc56", mode="train", batch=2, height=32, width=32)


@pytest.fixture(autouse=True)
def small_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "MATRIX_SIDES", {"cpu": 64})


def test_every_way_to_load_is_measured(rectangles: Path) -> None:
    compared = compare_loading(
        CASE, data=str(rectangles), data_root=None, workers=(0, 1), seconds=0.0
    )
    assert [result.contender for result in compared.results] == [
        "no loading",
        *[
            f"{what} from {source}, {number} workers"
            for source in ("memory", "files")
            for number in (0, 1)
            for what in ("train", "load")
        ],
    ]
    for result in compared.results:
        assert result.median > 0
        assert len(result.seconds) == 3
        assert (result.multiply_adds == 0) == result.contender.startswith("load")
    assert compared.notes["images"] == f"from {rectangles}"
    assert compared.notes["memory"].startswith("images decoded in")


def test_first_batches_are_not_timed(rectangles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[int] = []

    def time_step(step: Callable[[], object], repeats: int) -> float:
        step()
        timed.append(repeats)
        return 7.0

    monkeypatch.setattr(loading_speed, "time_step", time_step)
    monkeypatch.setattr(loading_speed, "take_turns", lambda steps, **_: {n: [2.0] for n in steps})
    compare_loading(CASE, data=str(rectangles), data_root=None, workers=(0, 1), seconds=0.0)
    # The first batch; then, from memory and from files, by 0 workers and by 1, to train and load.
    assert timed == [1, 1, 1, 3, 3, 1, 1, 3, 3]


def test_the_study_writes_its_files(rectangles: Path, tmp_path: Path) -> None:
    config = BenchmarkConfig(
        study="data", data=str(rectangles), arch="fc56", size=(32, 32), batch=2, seconds=0.0,
        out=str(tmp_path), accelerator="cpu", threads=1,
    )  # fmt: skip
    path = run_benchmark(config)
    assert path.name == f"data_{rectangles.name}_fc56_train_2x32x32_fp32_cpu.json"
    assert path.with_suffix(".png").is_file()


def test_a_split_without_a_batch_is_refused(rectangles: Path) -> None:
    case = Case(arch="fc56", mode="train", batch=7, height=32, width=32)
    with pytest.raises(ValueError, match="6 training images, too few for a batch of 7"):
        compare_loading(case, data=str(rectangles), data_root=None, workers=(0,), seconds=0.0)
