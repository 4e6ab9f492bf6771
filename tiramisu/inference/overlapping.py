"""Reading the next input and writing the last one while the network computes."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar


class Stages(Protocol):
    """What is done in three stages, one after another."""

    def read(self) -> None:
        """Get what `predict` needs, from a disk or a network."""

    def predict(self) -> None:
        """Compute."""

    def write(self) -> None:
        """Write the results, to a disk or a network."""


S = TypeVar("S", bound=Stages)


def overlap(works: Iterable[S]) -> Generator[tuple[S, Exception | None], None, None]:
    """Do all, and give each when it is written, in their order, with its error if it has failed.

    One thread reads and one writes; `predict` runs in the thread of the caller. At most four are in
    memory: one that is read, one that is predicted, one that is written and one that waits. When it
    is closed, what was begun is ended first.
    """
    coming: deque[tuple[S, Future[None]]] = deque()
    going: deque[tuple[S, Future[None]]] = deque()
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        for work in works:
            coming.append((work, reader.submit(work.read)))
            if len(coming) > 1:
                going.append(_predict(*coming.popleft(), writer))
            while len(going) > 1:
                yield _finish(*going.popleft())
        while coming:
            going.append(_predict(*coming.popleft(), writer))
        while going:
            yield _finish(*going.popleft())


def _predict(work: S, read: Future[None], writer: ThreadPoolExecutor) -> tuple[S, Future[None]]:
    try:
        read.result()
        work.predict()
    except Exception as error:
        failed: Future[None] = Future()
        failed.set_exception(error)
        return work, failed
    return work, writer.submit(work.write)


def _finish(work: S, written: Future[None]) -> tuple[S, Exception | None]:
    error = written.exception()
    assert error is None or isinstance(error, Exception)
    return work, error
