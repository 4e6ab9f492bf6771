"""Choosing where to compute, outside of training (there Lightning chooses)."""

import torch

from tiramisu.engine.config import Accelerator


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
