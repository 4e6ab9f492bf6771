"""Time, taken in turns: a machine that slows down for a while slows down everyone."""

import time
from collections.abc import Callable, Mapping

import torch

Step = Callable[[], object]
Clock = Callable[[Step, int], float]

TURN_SECONDS = 0.2
"""A turn repeats a quick step until they take about this long."""
FEWEST_ROUNDS = 3
"""A median of less says nothing of its spread."""


def take_turns(
    steps: Mapping[str, Step], *, rounds: int, seconds: float, clock: Clock
) -> dict[str, list[float]]:
    """Time steps in turns, A B C A B C ...

    A turn begins with a step that does not count. After another contender's the memory is cold: a
    training step then takes a fifth longer than in a loop of its own, which is what is asked for.

    Args:
        steps: what to time, by name.
        rounds: turns of each, at most.
        seconds: no further round begins after this time, but there are three at least (or
            `rounds`, where that is less).
        clock: seconds that a step takes, called with it and the number of times to repeat it.

    Returns:
        Seconds a step for each turn, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in steps}
    spent = 0.0
    for turn in range(rounds):
        if turn >= FEWEST_ROUNDS and spent >= seconds:
            break
        for name, step in steps.items():
            first = clock(step, 1)
            repeats = max(1, round(TURN_SECONDS / max(first, 1e-6)))
            taken = clock(step, repeats)
            times[name].append(taken / repeats)
            spent += first + taken
    return times


def pick_clock(device: str) -> Clock:
    """The clock for a device: its own events on a CUDA GPU, the processor's clock elsewhere."""
    return _time_events if device == "cuda" else _time_processor


def _time_processor(step: Step, repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        step()
    if torch.backends.mps.is_available():
        torch.mps.synchronize()
    return time.perf_counter() - started


def _time_events(step: Step, repeats: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(repeats):
        step()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000  # milliseconds -> seconds
