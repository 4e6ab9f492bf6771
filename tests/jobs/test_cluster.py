import os
import time
from collections.abc import Iterator

import pytest

distributed = pytest.importorskip("distributed", reason="Dask's distributed is not installed")

import torch  # noqa: E402

from tiramisu.jobs import cluster as cluster_module  # noqa: E402
from tiramisu.jobs import packed_model  # noqa: E402
from tiramisu.jobs.cluster import Workers, divide_into_chunks, find_place, open_workers  # noqa: E402


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """Two workers in this process."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=3, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield Workers(client)


def double(numbers: list[int]) -> list[int]:
    return [2 * number for number in numbers]


def test_every_task_is_done_once(workers: Workers) -> None:
    assert workers.number == 2
    tasks = divide_into_chunks(list(range(100)), 7)
    results = {tuple(task): result for task, result, _ in workers.run(double, tasks)}
    assert sorted(number for task in results for number in task) == list(range(100))
    assert all(result == double(list(task)) for task, result in results.items())


def test_results_of_map_are_in_order(workers: Workers) -> None:
    def late_first(number: int, other: int) -> int:
        time.sleep(0.05 if number == 0 else 0)
        return number + other

    assert list(workers.map(late_first, range(50), range(50))) == list(range(0, 100, 2))
    assert list(workers.map(late_first, [], [])) == []


def test_tasks_are_made_only_as_workers_do_them(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "_LEAST", 1)
    made, done, most = 0, 0, 0

    def tasks() -> Iterator[int]:
        nonlocal made
        for number in range(60):
            made += 1
            yield number

    for _ in workers.run(abs, tasks()):
        most = max(most, made - done)
        done += 1
    assert done == made == 60
    assert most <= 2 * cluster_module.WAITING


def test_few_items_are_shared_out(workers: Workers) -> None:
    assert workers.chunk_size(1) == 1
    assert workers.chunk_size(24) == 3
    assert workers.chunk_size(24, unit=2) == 4
    assert workers.chunk_size(100_000) == cluster_module.CHUNK


def test_what_a_task_raises_is_raised_here(workers: Workers) -> None:
    def fail(number: int) -> None:
        raise ValueError(f"a fault of {number}")

    with pytest.raises(ValueError, match="a fault of 3"):
        list(workers.run(fail, iter([3])))


def test_a_worker_knows_its_threads(workers: Workers) -> None:
    assert [result for _, result, _ in workers.run(lambda _: find_place().threads, iter([0]))] == [
        3
    ]


def test_what_is_set_up_is_in_every_worker_and_once(workers: Workers) -> None:
    calls: list[int] = []
    for _ in range(2):
        workers.set_up(lambda: calls.append(1), name="once")  # pickled: `calls` is a copy
    kept = [result for _, result, _ in workers.run(lambda _: _SET_UP[:], iter([0]))]
    assert kept == [[]]
    for _ in range(2):
        workers.set_up(_set_up, name="again")
    assert len(_SET_UP) == workers.number


_SET_UP: list[int] = []


def _set_up() -> None:
    _SET_UP.append(1)


def test_a_scheduler_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "_TIMEOUT", 1)
    with (
        pytest.raises(OSError, match=r"cannot reach the scheduler tcp://127\.0\.0\.1:9 \("),
        open_workers(number=None, scheduler="tcp://127.0.0.1:9"),
    ):
        pass
    with (
        pytest.raises(OSError, match=r"cannot reach the scheduler nowhere"),
        open_workers(number=None, scheduler="nowhere://x"),
    ):
        pass


def end_process(numbers: list[int]) -> list[int]:
    if 13 in numbers:
        os._exit(1)
    return numbers


@pytest.mark.slow
def test_a_task_that_ends_its_workers_is_told_and_the_others_are_done() -> None:
    with open_workers(number=2, scheduler=None) as workers:
        found = list(workers.run(end_process, iter([[1], [13], [2], [3]])))
    assert sorted(task for task, result, _ in found if result is not None) == [[1], [2], [3]]
    lost = [(task, reason) for task, result, reason in found if result is None]
    assert lost == [([13], "the worker's process was killed, such as for want of memory")]


def test_the_workers_of_one_machine_take_its_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(packed_model, "load_predictor", lambda path, accelerator: path)
    monkeypatch.setattr(packed_model, "_UNPACKED", {"abc": "folder"})
    packed_model._load.cache_clear()
    for number in (0, 1, 2, 2):
        assert packed_model.load_unpacked("abc", "auto", number=number) == "folder"
    assert taken == [0, 1, 0], "a model is loaded once"
    packed_model._load.cache_clear()
