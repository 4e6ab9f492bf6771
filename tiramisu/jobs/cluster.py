"""Dask's workers: started on this machine or joined, and the tasks for them.

Dask is imported only when it is used: it is an extra.
"""

import contextlib
import functools
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from tiramisu.inference.packages import require_package
from tiramisu.interrupts import leave_process_group
from tiramisu.machine import count_cores, keep_memory
from tiramisu.text import in_one_line

EXTRA = "cluster"
CHUNK = 16
"""Items in a task at most: a worker that is lost has these to do again."""
WAITING = 2
"""Tasks given to a worker at a time: while it computes one, it reads for the next."""
_LEAST = 8
"""Tasks that are out in any case, so that a cluster that grows with its work sees some."""
_TIMEOUT = 20
"""Seconds to wait for a scheduler's answer."""

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """Processes that do tasks, on this machine or on others.

    Args:
        client: Dask's client.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._names: list[str] = []
        self.set_up(functools.partial(keep_memory, watched=True), name="tiramisu-memory")

    @property
    def number(self) -> int:
        """How many there are now."""
        return len(self._client.nthreads())

    @property
    def dashboard(self) -> str | None:
        """The address of Dask's page of what its workers do; None without its package, bokeh."""
        return self._client.dashboard_link if find_spec("bokeh") else None

    def chunk_size(self, number: int, *, unit: int = 1) -> int:
        """How many of so many items make a task: few of few items, so that all workers have some.

        Args:
            number: of the items.
            unit: items that stay together.
        """
        fair = number // (4 * max(1, self.number))
        return -(-min(max(fair, 1), CHUNK) // unit) * unit

    def set_up(
        self, function: Callable[[], None], *, name: str, undo: Callable[[], None] | None = None
    ) -> None:
        """Call a function once in each worker, also in those that come later.

        Args:
            function: it can be pickled.
            name: of this; a second call with the same name does nothing.
            undo: called in each worker when the work is over.
        """
        from distributed import WorkerPlugin

        class SetUp(WorkerPlugin):  # type: ignore[misc]  # without types
            idempotent = True

            def setup(self, worker: object) -> None:
                function()

            def teardown(self, worker: object) -> None:
                if undo is not None:
                    undo()

        self._client.register_plugin(SetUp(), name=name)
        self._names.append(name)

    def tear_down(self) -> None:
        """Undo what was set up, and let later workers start without it."""
        with contextlib.suppress(OSError, ValueError):  # a scheduler that is gone has nothing left
            for name in reversed(self._names):
                self._client.unregister_worker_plugin(name)
        self._names = []

    def run(
        self, function: Callable[[T], R], tasks: Iterator[T]
    ) -> Iterator[tuple[T, R | None, str | None]]:
        """Do tasks, of which only a few are out at any time.

        Yields:
            In any order: the task, and its result; or None and why there is none, if it ended the
            processes of several workers.

        Raises:
            OSError: the scheduler cannot be reached any more.
            Exception: what the function raises.
        """
        from distributed import KilledWorker, as_completed

        out: dict[Any, T] = {}
        submit = functools.partial(self._client.submit, function, pure=False)

        def send(number: int) -> list[Any]:
            sent = []
            for task in (task for _, task in zip(range(number), tasks, strict=False)):
                future = submit(task)
                out[future.key] = task
                sent.append(future)
            return sent

        suspected: list[T] = []
        done = as_completed(send(self._most()))
        for future in done:
            task = out.pop(future.key)
            try:
                yield task, self._result(future), None
            except KilledWorker:
                suspected.append(task)
            future.release()
            for more in send(self._most() - len(out)):
                done.add(more)
        # Dask suspects all tasks of a worker that is lost. Alone, only a guilty one ends it again.
        for task in suspected:
            future = submit(task)
            try:
                yield task, self._result(future), None
            except KilledWorker:
                yield task, None, "the worker's process was killed, such as for want of memory"

    def run_in_order(
        self, function: Callable[[T], R], tasks: Iterator[T]
    ) -> Iterator[tuple[T, R | None, str | None]]:
        """As `run`, in the order of the tasks."""
        numbered = iter(enumerate(tasks))
        waiting: dict[int, tuple[T, R | None, str | None]] = {}
        place = 0
        results = self.run(functools.partial(_call_second, function), numbered)
        for (number, task), result, reason in results:
            waiting[number] = (task, result, reason)
            while place in waiting:
                yield waiting.pop(place)
                place += 1

    def _result(self, future: Any) -> Any:
        """What a task has given, or raised. Raises OSError if the scheduler is gone."""
        from distributed import as_completed

        list(as_completed([future]))  # waits; unlike others it takes a cancelled one for complete
        if future.status == "cancelled":
            raise OSError("the connection to the scheduler is lost")
        return future.result()

    def map(
        self, fn: Callable[..., R], *iterables: Iterable[Any], chunksize: int = CHUNK
    ) -> Iterator[R]:
        """The results of a function in the order of its arguments; see `Pool`.

        `chunksize` is that of other pools: here the number of workers decides.

        Raises:
            OSError: a task has ended the processes of several workers.
            Exception: what the function raises.
        """
        items = list(zip(*iterables, strict=True))
        chunks = divide_into_chunks(items, self.chunk_size(len(items)))
        done = 0
        for chunk, results, reason in self.run_in_order(functools.partial(_call_all, fn), chunks):
            if results is None:
                raise OSError(f"{reason}, at one of the samples from {done + 1} on")
            done += len(chunk)
            yield from results

    def _most(self) -> int:
        return max(_LEAST, WAITING * self.number)


def _call_second(function: Callable[[T], R], numbered: tuple[int, T]) -> R:
    return function(numbered[1])


def _call_all(fn: Callable[..., R], chunk: Sequence[tuple[Any, ...]]) -> list[R]:
    return [fn(*arguments) for arguments in chunk]


@contextmanager
def open_workers(*, number: int | None, scheduler: str | None) -> Iterator[Workers]:
    """Start workers on this machine, or join those of a scheduler.

    Args:
        number: of processes to start. They share the cores, and the GPUs, of this machine.
        scheduler: the address of Dask's scheduler, such as tcp://HOST:8786.

    Raises:
        ValueError: Dask is not installed.
        OSError: there is no such scheduler.
    """
    flag = "--workers" if scheduler is None else "--scheduler"
    require_package("distributed", purpose=flag, extra=EXTRA)
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=_TIMEOUT)
        except (OSError, ValueError) as error:
            raise OSError(
                f"cannot reach the scheduler {scheduler} ({in_one_line(error)})"
            ) from None
        with client:
            workers = Workers(client)
            if not workers.number:
                print(f"waiting for workers of {scheduler}", file=sys.stderr, flush=True)
            try:
                yield workers
            finally:
                workers.tear_down()
        return
    assert number is not None
    with (
        LocalCluster(
            n_workers=number,
            threads_per_worker=max(1, count_cores() // number),
            memory_limit=None,  # it does not know the memory of torch
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        workers = Workers(client)
        workers.set_up(leave_process_group, name="tiramisu-interrupts")
        yield workers


def divide_into_chunks(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Chunks of `size` items; the last one may be smaller."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def find_scratch() -> Path | None:
    """A folder for temporary files; that of a worker, which Dask clears; None for the usual one."""
    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker

    try:
        return Path(get_worker().local_directory)
    except ValueError:  # this process is no worker
        return None


@dataclass(frozen=True, kw_only=True)
class Place:
    """The worker in which a task runs."""

    threads: int
    """As many as it was started with."""
    number: int
    """Its number among those that were started together; 0 for one that has another name."""


def find_place() -> Place:
    """Where this is called: in a task of a worker."""
    from distributed import get_worker

    worker = get_worker()
    number = worker.name if isinstance(worker.name, int) else 0
    return Place(threads=int(worker.state.nthreads), number=number)
