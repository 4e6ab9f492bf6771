"""Where to compute, and what it says when its memory is too small."""

import torch

from tiramisu.settings import Accelerator

OUT_OF_MEMORY = ("allocate memory", "bad_alloc", "not enough memory", "out of memory")
"""The words in which torch on a CPU, ONNX Runtime and OpenVINO say so."""


def pick_device(accelerator: Accelerator) -> torch.device:
    """The device for a setting. Raises ValueError if a GPU is asked for and none is seen."""
    if accelerator == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    if accelerator == "gpu":
        raise ValueError("--accelerator gpu: torch sees no GPU on this machine; use auto or cpu")
    return torch.device("cpu")


def is_out_of_memory(error: Exception) -> bool:
    """Whether a forward pass failed for want of memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in str(error).lower() for words in OUT_OF_MEMORY
    )
