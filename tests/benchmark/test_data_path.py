import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tiramisu.benchmark import data_path as loading
from tiramisu.benchmark.config import BenchmarkConfig
from tiramisu.benchmark.data_path import DataPath, Feeding, measure_data_path
from tiramisu.benchmark.result_tables import format_data_path, format_rate
from tiramisu.benchmark.suite import run_benchmark
from tiramisu.training.config import TrainConfig

TINY = TrainConfig(
    arch="fc56", data="streets", train_split="val", crop=(32, 32), batch_size=2, accelerator="cpu"
)


def test_measures_every_way_to_load() -> None:
    said: list[str] = []
    path = measure_data_path(
        TINY, caches=(True, False), workers=(0, 1), seconds=0.0, say=said.append
    )
    ways = [(feeding.cache, feeding.num_workers) for feeding in path.feedings]
    assert ways == [(True, 0), (True, 1), (False, 0), (False, 1)]
    assert len(said) == 4
    for feeding in path.feedings:
        assert feeding.loaded > 0
        assert feeding.trained > 0
        assert (feeding.fill_seconds > 0) == feeding.cache
    # Drawing a scene takes far longer than cutting one out of memory.
    assert path.feedings[0].loaded > 3 * path.feedings[2].loaded


def test_rate_leaves_the_first_batches_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(loading.time, "perf_counter", lambda: next(clock))
    seen: list[int] = []

    def batches() -> Iterator[dict[str, torch.Tensor]]:
        for number in range(100):
            yield {"image": torch.full((5, 1), number)}

    rate = loading._rate(
        batches(), lambda batch: seen.append(int(batch["image"][0])), seconds=0, skip=2
    )
    assert rate == 5 * 3 / 3  # three batches, though the time was over at once
    assert seen == [0, 1, 2, 3, 4]


def test_table_sets_loading_beside_training() -> None:
    feeding = Feeding(cache=True, num_workers=2, fill_seconds=1.5, loaded=300.0, trained=9.0)
    slow = dataclasses.replace(feeding, cache=False, num_workers=0, loaded=5.0, trained=3.0)
    table = format_data_path(DataPath(title="fc56", trainable=10.0, feedings=(feeding, slow)))
    heading, *_, first, second, _ = table.splitlines()
    assert "10.0 images/s" in heading
    assert first.split() == ["yes", "2", "1.50", "s", "300/s", "30.0", "9.00/s", "90", "%"]
    assert second.split() == ["no", "0", "-", "5.00/s", "0.500", "3.00/s", "30", "%"]


def test_the_study_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config = BenchmarkConfig(
        study="data", arch="fc56", size=(32, 32), batch=2, seconds=0.0, out=str(tmp_path),
        accelerator="cpu", threads=torch.get_num_threads(),
    )  # fmt: skip
    path = run_benchmark(config)
    document = json.loads(path.read_text())
    assert document["case"]["mode"] == "train"
    assert len(document["feedings"]) == 6
    assert f"{format_rate(document['trainable'])} images/s" in capsys.readouterr().out
    assert path.with_suffix(".png").stat().st_size > 5000


@pytest.mark.parametrize("wrong", [{"mode": "infer"}, {"arch": "densenet121"}])
def test_the_study_trains_segmentation_networks_alone(tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(ValueError, match="--study data: it trains our segmentation networks"):
        run_benchmark(BenchmarkConfig(study="data", out=str(tmp_path), **wrong))


def test_a_split_without_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="40 images in val, too few for a batch of 64"):
        measure_data_path(dataclasses.replace(TINY, batch_size=64), say=lambda what: None)
