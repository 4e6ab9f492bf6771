"""Where to compute, which process speaks for a run, whether memory ran out."""

import contextlib
import datetime
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import psutil
import torch

from tiramisu.environment import read_rank
from tiramisu.machine import count_cores
from tiramisu.settings import Accelerator

PACKAGES = ("tiramisu-seg", "torch", "torchvision", "onnxruntime", "openvino", "nncf")
"""Packages whose versions measurements depend on."""
TRAINING_PACKAGES = (
    "lightning",
    "albumentations",
    "opencv-python-headless",
    "segmentation-models-pytorch",
    "numpy",
)
"""Further packages on which trainings and evaluations depend."""
OUT_OF_MEMORY = ("allocate memory", "bad_alloc", "not enough memory", "out of memory")
"""Words in the out-of-memory errors of torch on a CPU, ONNX Runtime and OpenVINO."""


def pick_device(accelerator: Accelerator) -> torch.device:
    """The device for a setting.

    Raises:
        ValueError: a GPU is asked for, and torch sees none.
    """
    if accelerator == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available() and accelerator != "mps":
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    if accelerator == "mps":
        raise ValueError(
            "--accelerator mps is for Macs with Apple's processors, and torch sees none; use auto"
        )
    if accelerator == "gpu":
        raise ValueError("--accelerator gpu: torch sees no GPU on this machine; use auto or cpu")
    return torch.device("cpu")


def check_precision(precision: str, device: torch.device) -> None:
    """Raise ValueError if a device cannot compute in this number format, or only very slowly."""
    if precision == "fp16" and device.type == "cpu":
        raise ValueError("--precision fp16 needs a GPU; on a CPU use bf16 or fp32")


def count_devices(device: torch.device) -> int:
    """How many devices of a kind this machine has; on a CPU, how many processes are of use."""
    if device.type == "cuda":
        return torch.cuda.device_count()
    return 1 if device.type == "mps" else max(2, count_cores())


def is_main_process() -> bool:
    """Whether this process is the one that prints and writes files.

    torchrun and SLURM set a rank over all machines. Lightning's own launcher sets the rank of the
    process on its machine, and the user that of the machine.
    """
    for name in ("RANK", "SLURM_PROCID"):
        if (rank := read_rank(name)) is not None:
            return rank == 0
    return not any(map(read_rank, ("LOCAL_RANK", "NODE_RANK")))


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that the memory of the device, or of the machine, is too small."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in str(error).lower() for words in OUT_OF_MEMORY
    )


def describe_machine(
    *, device: str, threads: int, packages: Sequence[str] = PACKAGES
) -> dict[str, object]:
    """What measurements depend on besides the code: processor, threads, versions, ..., by name."""
    names = [platform.processor() or platform.machine()]
    with contextlib.suppress(OSError):  # Linux knows the full name
        names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) or names
    # What pip has left behind of a package may have no name.
    installed = {d.name.replace("_", "-"): d.version for d in metadata.distributions() if d.name}
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "processor": names[0],
        **({"gpu": torch.cuda.get_device_name()} if device == "cuda" else {}),
        "cores": psutil.cpu_count(logical=False),
        "threads": threads,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: installed[name] for name in packages if name in installed},
        "date": now.isoformat(timespec="seconds"),
    }


def describe_origin(device: torch.device) -> dict[str, object]:
    """With what a training or an evaluation is made: command, code, machine and versions.

    Args:
        device: where it computes.
    """
    commit = _find_commit(Path(__file__).parent)
    program = Path(sys.argv[0]).name.replace("__main__.py", "tiramisu")
    return {
        "command": shlex.join([program, *sys.argv[1:]]),
        **({"commit": commit} if commit else {}),
        **describe_machine(
            device=device.type,
            threads=torch.get_num_threads(),
            packages=(*PACKAGES, *TRAINING_PACKAGES),
        ),
    }


def _find_commit(package: Path) -> str | None:
    """The commit of the package's own checkout, and whether files differ from it.

    None if the package is installed in another way.
    """
    if not (package.parent / ".git").exists():
        return None
    git = ["git", "-C", str(package.parent)]
    try:
        head, changes = (
            subprocess.run([*git, *words], capture_output=True, text=True, timeout=10, check=True)
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + (" with changes" if changes.stdout.strip() else "")
