"""One comparison: all contenders on one case, in turns."""

import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor
from torch.utils.benchmark.utils.timer import timer

from tiramisu.benchmark.contenders import EXPORTED, Case
from tiramisu.benchmark.peak_memory import measure_in_new_process
from tiramisu.benchmark.steps import Step, count_multiply_adds, load_contender, make_matrix_products
from tiramisu.devices import is_out_of_memory

TURN_SECONDS = 0.2  # in one turn a fast step is repeated for about this long
MIN_ROUNDS = 3  # fewer rounds give no useful median and spread
SAME_FUNCTION = {"ours", "plain", "torchvision"}  # sources whose logits can be compared
TOLERANCE = 0.05
"""Largest difference of logits in fp32, as a part of the reference's largest logit. TF32 on a GPU
differs less; a network that leaves a layer out differs more."""


class UnavailableError(Exception):
    """A contender cannot run on this machine; the message is the reason."""


@dataclasses.dataclass(kw_only=True)
class Result:
    """What was measured of one contender."""

    contender: str
    seconds: list[float] = dataclasses.field(default_factory=list)  # of one step, in each turn
    setup_seconds: float = 0.0  # to load and compile, or to export; 0 for others
    peak_bytes: int | None = None  # of a step, without the loaded program; None if not measured
    multiply_adds: int  # of one step
    difference: float | None = None  # see `compare_logits`

    @property
    def median(self) -> float:
        """Median of `seconds`."""
        return statistics.median(self.seconds)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was measured on one case. The first result is the reference of all ratios."""

    case: Case
    limit: float  # operations per second of the fastest product of large matrices
    results: list[Result]  # in the order of the turns
    notes: dict[str, str]  # by contender: why it was skipped, or its memory not measured


def compare(
    contenders: Sequence[str], case: Case, *, rounds: int, seconds: float, memory: bool
) -> Comparison:
    """Time contenders in turns, then measure the memory of each in a process of its own.

    The first contender that can run is the reference. For rounds and seconds, see `take_turns`.

    Raises:
        UnavailableError: no contender can run here.
    """
    torch.set_num_threads(case.threads)
    results: list[Result] = []
    steps: dict[str, Step] = {}
    logits: dict[str, Tensor] = {}
    notes: dict[str, str] = {}
    # torch.compile starts without what earlier runs have left in its cache; the processes that
    # measure memory find what this one has compiled.
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict("os.environ", TORCHINDUCTOR_CACHE_DIR=f"{folder}/compiled"),
    ):
        for name in contenders:
            print(f"{case.title}: preparing {name}", file=sys.stderr)
            result = Result(contender=name, multiply_adds=count_multiply_adds(name, case))
            try:
                step, logits[name] = _start(result, case, Path(folder))
                result.difference = compare_logits(logits, name, case)
            except UnavailableError as problem:
                logits.pop(name, None)
                notes[name] = f"skipped: {problem}"
            else:
                steps[name] = step
                results.append(result)
        if not results:
            raise UnavailableError("; ".join(f"{name} {note}" for name, note in notes.items()))
        print(f"{case.title}: timing, in turns", file=sys.stderr)
        products, operations = make_matrix_products(case)
        times = take_turns({**steps, **products}, rounds=rounds, seconds=seconds)
        for result in results:
            name = result.contender
            result.seconds = times[name]
            if not memory:
                continue
            print(f"{case.title}: measuring the memory of {name}", file=sys.stderr)
            try:
                result.peak_bytes = measure_in_new_process(name, case, folder=Path(folder))
            except RuntimeError as error:
                notes[name] = "memory not measured: " + str(error).partition("\n")[0]
    limit = operations / min(min(times[name]) for name in products)
    return Comparison(case=case, limit=limit, results=results, notes=notes)


def take_turns(steps: Mapping[str, Step], *, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Time steps in turns, A B C A B C: when the machine slows down, it does so for all.

    A turn begins with one step that is not counted, because the caches still hold another
    contender's data: a training step takes a fifth longer then. No further round begins after
    `seconds`, but there are at least MIN_ROUNDS. Returns seconds of one step in each turn, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in steps}
    spent = 0.0
    for turn in range(rounds):
        if turn >= MIN_ROUNDS and spent >= seconds:
            break
        for name, step in steps.items():
            first = time_step(step, 1)
            repeats = max(1, round(TURN_SECONDS / max(first, 1e-6)))
            taken = time_step(step, repeats)
            times[name].append(taken / repeats)
            spent += first + taken
    return times


def time_step(step: Step, repeats: int) -> float:
    """Seconds for a number of steps; a GPU is waited for."""
    started = timer()
    for _ in range(repeats):
        step()
    return timer() - started


def compare_logits(logits: Mapping[str, Tensor], contender: str, case: Case) -> float | None:
    """Largest difference from the first contender's logits; None for it and for other functions.

    Raises:
        UnavailableError: in fp32 the difference is larger than rounding explains.
    """
    reference = next(iter(logits))
    sources = {name.split("+")[0] for name in (contender, reference)}
    if contender == reference or not sources <= SAME_FUNCTION:
        return None
    difference = (logits[contender] - logits[reference]).abs().max().item()
    most = TOLERANCE * logits[reference].abs().max().item()
    is_rounded = case.precision != "fp32" or "int8" in contender + reference
    if not is_rounded and not difference <= most:  # this way round, NaN does not pass
        raise UnavailableError(
            f"logits differ from those of {reference} by {difference:.1e}; expected {most:.1e} at "
            "most: it does not compute the same function"
        )
    return difference


def _start(result: Result, case: Case, folder: Path) -> tuple[Step, Tensor]:
    """Load a contender, and do its first step, which is slower than the others."""
    has_setup = any(way == "compile" or way in EXPORTED for way in result.contender.split("+"))
    started = time.perf_counter()
    try:
        step, infer = load_contender(result.contender, case, folder=folder)
        logits = infer().float().cpu()  # before a training step, which changes the weights
        if case.mode == "train":
            step()
    except (RuntimeError, ValueError) as error:
        if not has_setup and not is_out_of_memory(error):
            raise
        raise UnavailableError(str(error).partition("\n")[0]) from error
    result.setup_seconds = time.perf_counter() - started if has_setup else 0.0
    return step, logits
