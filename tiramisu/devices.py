"""Where to compute, which process speaks for a run, and how to tell that memory ran out."""

import os

import torch

from tiramisu.settings import Accelerator

OUT_OF_MEMORY = ("allocate memory", "bad_alloc", "not enough memory", "out of memory")
"""Words in the out-of-memory errors of torch on a CPU, ONNX Runtime and OpenVINO."""


def pick_device(accelerator: Accelerator) -> torch.device:
    """The device for a setting.

    Raises:
        ValueError: a GPU is asked for, and torch sees none.
    """
    if accelerator == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    if accelerator == "gpu":
        raise ValueError("--accelerator gpu: torch sees no GPU on this machine; use auto or cpu")
    return torch.device("cpu")


def is_main_process() -> bool:
    """Whether this process is the one that prints and writes files.

    torchrun and SLURM set a rank over all machines. Lightning's own launcher sets the rank of the
    process on its machine, and the user that of the machine.
    """
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ:
            return int(os.environ[name]) == 0
    return all(int(os.environ.get(name, 0)) == 0 for name in ("LOCAL_RANK", "NODE_RANK"))


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that the memory of the device, or of the machine, is too small."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in str(error).lower() for words in OUT_OF_MEMORY
    )
