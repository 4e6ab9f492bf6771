"""Peak memory of known allocations, and of a contender in a process of its own."""

import subprocess
import sys
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest

from tiramisu.benchmark.contenders import Case
from tiramisu.benchmark.peak_memory import measure_in_new_process

PEAK = """
import torch
from tiramisu.benchmark.peak_memory import measure_peak

torch.ones(100_000_000)  # 400 MB, freed again: not part of what follows
kept = torch.ones(25_000_000)
print(measure_peak(lambda: torch.ones(50_000_000).sum(), device="cpu"))  # 200 MB
"""
only_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells the peak")


@only_linux
def test_peak_memory_is_what_a_step_allocates() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", PEAK], capture_output=True, text=True, check=True
    ).stdout
    assert 200e6 <= int(printed) < 260e6


@only_linux
def test_a_contender_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    case = Case(arch="fc56", mode="infer", batch=1, height=64, width=64)
    peak = measure_in_new_process("ours", case, folder=tmp_path)
    # The stack of the last block alone, (48 + 4 * 12) + 2 * 4 * 12 features a pixel in fp32.
    assert peak is not None
    assert 64 * 64 * 192 * 4 < peak < 100e6


class EndsTheProcess:
    """Unpickling it ends the process, as the system does when memory runs out."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        import os

        return os._exit, (9,)


def test_a_process_that_is_ended_is_an_error(tmp_path: Path) -> None:
    case = Case(arch="fc56", mode="infer", batch=1, height=64, width=64)
    with pytest.raises(BrokenExecutor):
        measure_in_new_process(EndsTheProcess(), case, folder=tmp_path)  # type: ignore[arg-type]
