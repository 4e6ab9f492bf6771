"""Any trained model by one name: a PyTorch checkpoint or an exported file."""

from pathlib import Path

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.devices import pick_device
from tiramisu.inference.exported import SUFFIXES, load_exported
from tiramisu.inference.predictor import Predictor
from tiramisu.settings import Accelerator


def load_predictor(path: str | Path, *, accelerator: Accelerator) -> Predictor:
    """Load a checkpoint or an exported model, ready to predict.

    Raises:
        FileNotFoundError, ValueError: as `load_model` and `load_exported`, or a GPU is asked for
            an exported model.
    """
    if Path(path).suffix not in SUFFIXES:
        return load_model(path, device=pick_device(accelerator))
    if accelerator == "gpu":
        raise ValueError(
            f"--accelerator gpu: {path} runs on the CPU; for a GPU give the run's folder instead"
        )
    return load_exported(path)
