"""Any trained model by one name: a PyTorch checkpoint, an exported file, or several of them."""

from pathlib import Path

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.model_files import list_members
from tiramisu.devices import pick_device
from tiramisu.inference.ensemble import Ensemble
from tiramisu.inference.exported import SUFFIXES, load_exported
from tiramisu.inference.predictor import Predictor
from tiramisu.settings import Accelerator


def load_predictor(path: str | Path, *, accelerator: Accelerator) -> Predictor:
    """Load a checkpoint or an exported model, ready to predict.

    Args:
        path: what `load_model` takes, or an exported file; or several of them separated by commas,
            or the folder of `tiramisu folds`, whose probabilities are averaged.
        accelerator: the device to compute on.

    Raises:
        FileNotFoundError, ValueError: as `load_model` and `load_exported`; a GPU is asked for an
            exported model; or models do not fit together.
    """
    names = list_members(path)
    members = [_load(name, accelerator=accelerator) for name in names]
    if len(members) > 1:
        return Ensemble(members, names=names)
    return members[0]


def _load(path: str, *, accelerator: Accelerator) -> Predictor:
    if Path(path).suffix not in SUFFIXES:
        return load_model(path, device=pick_device(accelerator))
    if accelerator in ("gpu", "mps"):
        raise ValueError(
            f"--accelerator {accelerator}: {path} runs on the CPU; for a GPU give the run's folder "
            "instead"
        )
    return load_exported(path)
