"""Workers that are this process: what is done by them, without Dask."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

from tiramisu.jobs import packed_model


class Pretended:
    """Workers in this process; what they get and give is pickled, as Dask does."""

    number = 2
    dashboard = None

    def __init__(self, *, deadly: tuple[str, ...] = ()) -> None:
        self.deadly = deadly
        self.loses_all = False
        self.chunks: list[int] = []

    def chunk_size(self, number: int, *, unit: int = 1) -> int:
        return 2 * unit

    def set_up(self, function: Callable[[], None], *, name: str) -> None:
        pickle.loads(pickle.dumps(function))()

    def run(self, function: Callable[[Any], Any], tasks: Iterator[Any]) -> Iterator[Any]:
        for task in tasks:
            self.chunks.append(len(task))
            places = [source.place for source in task] if self.deadly else []
            if self.loses_all or any(place.endswith(self.deadly) for place in places):
                yield task, None, "the worker's process was killed"
            else:
                yield task, pickle.loads(pickle.dumps(function))(task), None


def pretend_workers(
    monkeypatch: pytest.MonkeyPatch, job: ModuleType, worker: ModuleType
) -> Pretended:
    """Let a job have pretended workers.

    Args:
        monkeypatch: undoes it.
        job: the module that opens the workers.
        worker: the one whose functions they call.
    """
    pretended = Pretended()

    @contextmanager
    def open_workers(**_: object) -> Iterator[Pretended]:
        yield pretended

    monkeypatch.setattr(job, "open_workers", open_workers)
    monkeypatch.setattr(worker, "count_threads", lambda: 1)
    packed_model.load_unpacked.cache_clear()
    return pretended
