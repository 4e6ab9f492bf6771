"""Workers that are this process: what is done by them, without Dask."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tiramisu.jobs import cluster, evaluate_job, packed_model, predict_job, stored_input
from tiramisu.jobs.cluster import Place


class Pretended:
    """Workers in this process; what they get and give is pickled, as Dask does."""

    number = 2
    dashboard = None

    def __init__(self, *, deadly: tuple[str, ...] = ()) -> None:
        self.deadly = deadly
        self.loses_all = False
        self.chunks: list[int] = []
        self.calls = 0
        self.asked: dict[str, object] = {}

    def chunk_size(self, number: int, *, unit: int = 1) -> int:
        return 2 * unit

    def set_up(self, function: Callable[[], None], *, name: str, undo: Any = None) -> None:
        pickle.loads(pickle.dumps(function))()

    def run(self, function: Callable[[Any], Any], tasks: Iterator[Any]) -> Iterator[Any]:
        for task in tasks:
            self.chunks.append(len(task))
            places = [source.place for source in task] if self.deadly else []
            if self.loses_all or any(place.endswith(self.deadly) for place in places):
                yield task, None, "the worker's process was killed"
            else:
                yield task, pickle.loads(pickle.dumps(function))(task), None

    run_in_order = run

    def map(
        self, fn: Callable[..., Any], *iterables: Iterable[Any], chunksize: int = 1
    ) -> Iterator[Any]:
        for arguments in zip(*iterables, strict=True):
            self.calls += 1
            yield pickle.loads(pickle.dumps(fn))(*arguments)


def pretend_workers(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    """Let all commands have pretended workers."""
    pretended = Pretended()

    @contextmanager
    def open_workers(**asked: object) -> Iterator[Pretended]:
        pretended.asked = asked
        yield pretended

    for module in (cluster, predict_job, evaluate_job):
        monkeypatch.setattr(module, "open_workers", open_workers)
    for module in (stored_input, evaluate_job):
        monkeypatch.setattr(module, "find_place", lambda: Place(threads=1, number=0))
    packed_model._load.cache_clear()
    return pretended
