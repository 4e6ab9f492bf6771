"""Loading and saving a trained model.

A model is saved as `model.safetensors` and `model.json`. The JSON holds all that prediction needs
(architecture, classes, colours, normalisation), so the YAML of the data set is not needed again.
"""

from pathlib import Path

import torch

from tiramisu.checkpoints.hub import is_hub_name
from tiramisu.checkpoints.info import write_info
from tiramisu.checkpoints.model import ImageModel
from tiramisu.checkpoints.model_files import find_checkpoint
from tiramisu.checkpoints.weights_file import save_weights
from tiramisu.models.own_network import NetworkBuilder


def save_model(model: ImageModel, folder: str | Path) -> Path:
    """Write `model.safetensors` and `model.json` into a folder; returns the path of the weights.

    Each file appears under its name only when it is complete.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = save_weights(model.network, folder)
    write_info(model.info, folder)
    return weights


def load_model(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    network: NetworkBuilder | None = None,
) -> ImageModel:
    """Load a trained model, ready to predict (evaluation mode).

    Args:
        path: the folder of a run, a folder with `model.safetensors` and `model.json` (or Hugging
            Face's `config.json`), the `model.safetensors` itself, a Lightning checkpoint (`.ckpt`)
            of a run, the name of a model that comes with the package (`list_weights`), or
            `hf://USER/NAME` for a model on the Hub.
        device: where the weights go.
        network: of a model whose network is one's own: the class, or a function that builds it. By
            default it is imported by the name that was saved (MODULE:NAME), except for a model from
            the Hub, or a module in the model's own folder.

    Raises:
        FileNotFoundError: there is no such file, or nothing to load in the folder.
        ValueError: the file is damaged, is not a Tiramisu checkpoint, or does not fit its network.
        OSError: the Hub cannot be reached.
    """
    return ImageModel.load(
        find_checkpoint(path), device=device, network=network, is_downloaded=is_hub_name(path)
    )
