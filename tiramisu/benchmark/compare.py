"""One comparison: every contender at one case, in turns."""

import contextlib
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from tiramisu.benchmark.cases import Case
from tiramisu.benchmark.contenders import Contender
from tiramisu.benchmark.footprint import ApartError, measure_apart
from tiramisu.benchmark.machine import make_products
from tiramisu.benchmark.networks import UnavailableError
from tiramisu.benchmark.steps import Ready, count_work, export, first_line, prepare
from tiramisu.benchmark.timing import pick_clock, take_turns
from tiramisu.devices import is_out_of_memory

Say = Callable[[str], None]
SAME_NETWORK = ("ours", "plain", "torchvision")
"""Sources that compute one and the same function, so that their logits can be compared."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured of one contender."""

    contender: str
    """Its name."""
    seconds: tuple[float, ...]
    """A step, turn by turn."""
    setup_seconds: float
    """Of compilation or export."""
    peak_bytes: int | None
    """Of a step, above the loaded program; None is not measured."""
    multiply_adds: int
    """Of a step."""
    difference: float | None
    """Largest absolute difference of the logits from the reference's; None for the reference, and
    for another function."""

    @property
    def median(self) -> float:
        """Seconds a step."""
        return statistics.median(self.seconds)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was measured at one case; all ratios are to the first result, the reference."""

    case: Case
    limit: float
    """Operations a second of a large product of matrices: the fastest of those that took turns
    with the contenders."""
    results: tuple[Result, ...]
    """In the order in which the contenders took turns."""
    notes: dict[str, str]
    """By contender: why it was skipped, or its memory not measured."""


def compare(
    contenders: Sequence[Contender],
    case: Case,
    *,
    rounds: int,
    seconds: float,
    memory: bool = True,
    say: Say = print,
) -> Comparison:
    """Time contenders in turns, then measure each one's memory in a process of its own.

    Args:
        contenders: who; the first that can run is the reference.
        case: at what.
        rounds, seconds: see `take_turns`.
        memory: measure memory, for which every contender is loaded once more.
        say: told what is being done.

    Raises:
        UnavailableError: no contender can run here, or none finds enough memory.
    """
    torch.set_num_threads(case.threads)
    entries: list[_Entry] = []
    notes: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, _compiling_in(Path(folder)):
        for contender in contenders:
            say(f"preparing {contender.name}")
            try:
                entries.append(_enter(contender, case, folder=Path(folder)))
            except UnavailableError as reason:
                notes[contender.name] = f"skipped: {reason}"
        if not entries:
            reasons = "; ".join(f"{name} {note}" for name, note in notes.items())
            raise UnavailableError(f"no contender can run here: {reasons}")

        say("timing, in turns")
        steps = {entry.name: entry.ready.step for entry in entries}
        products, operations = make_products(device=case.device, precision=case.precision)
        times = take_turns(
            {**steps, **products}, rounds=rounds, seconds=seconds, clock=pick_clock(case.device)
        )
        limit = operations / min(seconds for name in products for seconds in times[name])

        peaks: dict[str, int | None] = {}
        for entry in entries if memory else []:
            say(f"measuring the memory of {entry.name}")
            try:
                peaks[entry.name] = measure_apart(entry.contender, case, file=entry.file)
            except ApartError as reason:
                notes[entry.name] = f"memory not measured: {reason}"

    results = tuple(
        Result(
            contender=entry.name,
            seconds=tuple(times[entry.name]),
            setup_seconds=entry.setup_seconds,
            peak_bytes=peaks.get(entry.name),
            multiply_adds=count_work(entry.contender, case),
            difference=_difference(entry, entries[0]),
        )
        for entry in entries
    )
    return Comparison(case=case, limit=limit, results=results, notes=notes)


@contextlib.contextmanager
def _compiling_in(folder: Path) -> Iterator[None]:
    """Let torch.compile start from nothing, whatever an earlier run has left in its cache.

    The processes that measure memory inherit the setting, and find what this one has compiled.
    """
    name = "TORCHINDUCTOR_CACHE_DIR"
    before = os.environ.get(name)
    os.environ[name] = str(folder / "compiled")
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Entry:
    """A contender that has done its first step, which is slower than the next ones."""

    contender: Contender
    ready: Ready
    logits: Tensor
    setup_seconds: float
    file: Path | None

    @property
    def name(self) -> str:
        return self.contender.name


def _enter(contender: Contender, case: Case, *, folder: Path) -> _Entry:
    file, setup_seconds = None, 0.0
    if contender.exported:
        file, setup_seconds = export(contender, case, folder)
    ready = prepare(contender, case, file=file)
    try:
        # Before the first training step, which changes the weights.
        logits = ready.infer() if case.mode == "train" else None
        started = time.perf_counter()
        made = ready.step()
        if ready.compiles:
            setup_seconds = time.perf_counter() - started
        if logits is None:
            assert isinstance(made, Tensor)
            logits = made
    except RuntimeError as error:
        if not ready.compiles and not is_out_of_memory(error):
            raise
        raise UnavailableError(first_line(error)) from error
    return _Entry(
        contender=contender,
        ready=ready,
        logits=logits.float().cpu(),
        setup_seconds=setup_seconds,
        file=file,
    )


def _difference(entry: _Entry, reference: _Entry) -> float | None:
    sources = {entry.contender.source, reference.contender.source}
    if entry is reference or not sources <= set(SAME_NETWORK):
        return None
    return (entry.logits - reference.logits).abs().max().item()
