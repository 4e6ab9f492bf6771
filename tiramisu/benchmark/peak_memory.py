"""Peak memory of a step, not counting what the loaded program holds before it.

Each contender has a process of its own: memory that the allocator has kept would make the next one
look smaller.
"""

import contextlib
import ctypes
import gc
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from unittest import mock

import psutil
import torch

from tiramisu.benchmark.contenders import Case
from tiramisu.benchmark.steps import Step, load_contender

RETURN_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "131072"}
"""Makes glibc return freed tensors at once. Otherwise it keeps some of them, others in each run:
the same forward pass then peaks at 620 to 900 MB, where its tensors need 550 MB."""


def measure_in_new_process(contender: str, case: Case, *, folder: Path) -> int | None:
    """Peak bytes of a contender's step, or None where the system does not tell.

    Raises:
        BrokenExecutor: the process was ended, for example because memory ran out.
    """
    # A spawned process starts with an empty memory and reads the environment.
    spawn = multiprocessing.get_context("spawn")
    with (
        mock.patch.dict("os.environ", RETURN_FREED_MEMORY),
        ProcessPoolExecutor(max_workers=1, mp_context=spawn) as executor,
    ):
        return executor.submit(_measure_contender, contender, case, folder).result()


def measure_peak(step: Step, *, device: str) -> int | None:
    """Peak bytes while a step runs, not counting what is held before.

    On a CUDA GPU, what torch's allocator counts; on Linux, the memory of this process; else None.
    """
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - held
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)  # otherwise freed memory would count as held
    try:
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from what is resident
    except OSError:
        return None
    held = psutil.Process().memory_info().rss
    step()
    peak_kb = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(peak_kb[0]) * 1024 - held


def _measure_contender(contender: str, case: Case, folder: Path) -> int | None:
    torch.set_num_threads(case.threads)
    step, _ = load_contender(contender, case, folder=folder)
    if "compile" in contender.split("+"):
        step()  # the compiler's own memory is not that of a step
    # AdamW makes its state at the end of the first step, so the second needs most memory.
    repeats = 2 if case.mode == "train" else 1
    return measure_peak(lambda: [step() for _ in range(repeats)], device=case.device)
