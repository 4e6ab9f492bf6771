"""Peak memory of a step, above the program that is loaded and ready to run it.

On a CPU the system counts it: the highest resident size (VmHWM) that a process has had. The peak
of one contender would hide that of the next, and freed memory that an allocator keeps would pass
for nothing: so each contender has a process of its own.
"""

import contextlib
import ctypes
import dataclasses
import gc
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tiramisu.benchmark.cases import Case
from tiramisu.benchmark.contenders import Contender, parse_contender
from tiramisu.benchmark.steps import prepare
from tiramisu.benchmark.timing import Step

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
FREED_IS_FREE = {"MALLOC_MMAP_THRESHOLD_": "131072"}
"""Has glibc give back freed tensors at once. Left alone it keeps some, other ones in every run: the
same forward pass then peaks at 620 to 900 MB, where tensors need 550."""
MODULE = "tiramisu.benchmark.footprint"


class ApartError(Exception):
    """A process of its own did not bring a result; the message is the reason."""


def measure_apart(contender: Contender, case: Case, *, file: Path | None = None) -> int | None:
    """Peak bytes of a contender's step, in a process of its own.

    None where the system does not tell it. Raises ApartError where the process failed.
    """
    request = {
        "contender": contender.name,
        "case": dataclasses.asdict(case),
        "file": str(file) if file else None,
    }
    return run_apart(MODULE, request, environment=FREED_IS_FREE)["bytes"]


def run_apart(
    module: str, request: Mapping[str, object], *, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a module in a new process, which is given JSON and prints JSON as its last line.

    Args:
        module: its name; it has a `main`, and runs it.
        request: for its command line.
        environment: variables to set for it.

    Raises:
        ApartError: the process failed.
    """
    command = [sys.executable, "-m", module, json.dumps(request)]
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        raise ApartError(f"its process was ended by signal {-done.returncode}: out of memory?")
    if done.returncode > 0:
        raise ApartError((done.stderr.strip().splitlines() or ["its process failed"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def measure_peak(step: Step, *, device: str) -> int | None:
    """Peak bytes while a step runs, above what is held before it.

    On a GPU of that device, as torch's allocator counts; else of the process. None where the
    system does not tell it (it is Linux that does).
    """
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    _give_back_freed()
    if not _reset_peak():
        return None
    held = _status_bytes("VmRSS")
    step()
    return _status_bytes("VmHWM") - held


def main() -> None:
    """Measure the contender that the command line describes in JSON."""
    request = json.loads(sys.argv[1])
    case = Case(**request["case"])
    torch.set_num_threads(case.threads)
    file = Path(request["file"]) if request["file"] else None
    ready = prepare(parse_contender(request["contender"]), case, file=file)

    def step() -> None:
        # AdamW makes its state at the end of the first step: the second is the one that needs most.
        for _ in range(2 if case.mode == "train" else 1):
            ready.step()

    if ready.compiles:
        ready.step()  # the compiler is part of the program, not of the step
    print(json.dumps({"bytes": measure_peak(step, device=case.device)}))


def _status_bytes(key: str) -> int:
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024  # "VmHWM:   123456 kB"
    raise AssertionError(f"Linux tells {key}")


def _reset_peak() -> bool:
    """Let VmHWM start from what is resident now; False where this is not Linux, or not allowed."""
    try:
        CLEAR.write_text("5")
    except OSError:
        return False
    return STATUS.is_file()


def _give_back_freed() -> None:
    """Let the allocator return what is freed, so that it does not pass for what is held."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    main()
