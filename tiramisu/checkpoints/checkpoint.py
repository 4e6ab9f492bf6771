"""A trained network on disk: weights as safetensors, and beside them a JSON that describes them.

`model.json` holds all that prediction needs (architecture, classes, colours, normalisation), so a
model is used without the YAML it was trained with. Nothing here ever runs code from a file:
safetensors holds numbers only, and Lightning's `.ckpt` is opened with `weights_only=True`.
"""

import dataclasses
import difflib
import json
import pickle
from pathlib import Path
from typing import Any

import torch

from tiramisu.checkpoints.hub import fetch_model, is_hub_name
from tiramisu.checkpoints.info import INFO_NAME, ModelInfo, read_info
from tiramisu.checkpoints.model import ImageModel, build_image_model
from tiramisu.checkpoints.run_folder import BEST, LAST
from tiramisu.checkpoints.weights_file import WEIGHTS_NAME, load_weights, read_weights, save_weights
from tiramisu.shipped import WEIGHTS, list_weights

CHECKPOINT_SUFFIXES = (".safetensors", ".ckpt")


def save_model(model: ImageModel, folder: str | Path) -> Path:
    """Write `model.safetensors` and `model.json` into a folder; returns the weights' path.

    Both appear under their names only when complete, so a crash never leaves half a model.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = save_weights(model.network, folder)
    partial = folder / f"{INFO_NAME}.partial"
    partial.write_text(json.dumps(dataclasses.asdict(model.info), indent=2) + "\n")
    partial.replace(folder / INFO_NAME)
    return weights


def load_model(path: str | Path, *, device: str | torch.device = "cpu") -> ImageModel:
    """Load a trained model, ready to predict (evaluation mode).

    Args:
        path: a run's folder, a folder with `model.safetensors` and `model.json` (or Hugging Face's
            `config.json`), that weights file itself, a Lightning checkpoint (`.ckpt`) of a run,
            the name of a model that travels with the package (`list_weights` names them), or
            `hf://USER/NAME` for one on the Hub.
        device: where the weights go.

    Raises:
        FileNotFoundError: there is no such file, or nothing to load in the folder.
        ValueError: the file is damaged, is no checkpoint of ours, or does not fit its network.
    """
    path = find_checkpoint(path)
    if path.suffix == ".ckpt":
        checkpoint = read_checkpoint(path)
        info = ModelInfo.from_dict(checkpoint["model_info"], origin=str(path))
        prefix = "model.network."
        weights = {
            name.removeprefix(prefix): value
            for name, value in checkpoint["state_dict"].items()
            if name.startswith(prefix)
        }
    else:
        info = read_info(path.with_name(INFO_NAME))
        weights = read_weights(path)
    model = build_image_model(info)
    load_weights(model.network, weights, origin=f"{path} ({info.arch})")
    model.source = path
    return model.to(device).eval()


def find_checkpoint(path: str | Path) -> Path:
    """The file to load for what a user calls a checkpoint: a folder, a file, a shipped or Hub name.

    A folder of the user's own is preferred to a shipped model of the same name.
    """
    if is_hub_name(path):
        path = fetch_model(str(path))
    elif str(Path(path)) in list_weights() and not Path(path).exists():
        path = WEIGHTS / path
    path = Path(path)
    if path.is_file():
        if path.suffix not in CHECKPOINT_SUFFIXES:
            raise ValueError(
                f"{path} is no checkpoint of Tiramisu: expected a run's folder, a .safetensors "
                "file or a .ckpt file. An exported .onnx, .xml or .pt2 can be predicted with and "
                "judged (in Python: load_exported), not trained or exported again"
            )
        return path
    if not path.is_dir():
        names = ", ".join(list_weights())
        close = difflib.get_close_matches(str(path), list_weights(), n=1)
        raise FileNotFoundError(
            f"there is no checkpoint {path}; give a run's folder, such as runs/NAME"
            + (f", a model that came with Tiramisu ({names})" if names else "")
            + ", or hf://USER/NAME for one on Hugging Face's Hub"
            + (f"; did you mean {close[0]}?" if close else "")
        )
    # An interrupted run has no published model yet, but its best or last epoch.
    for name in (WEIGHTS_NAME, BEST, LAST):
        if (path / name).is_file():
            return path / name
    raise FileNotFoundError(
        f"nothing to load in {path}: expected {WEIGHTS_NAME} or {LAST}, which a "
        "run writes after its first epoch"
        + (
            "; rename it to use the model that came with Tiramisu"
            if str(path) in list_weights()
            else ""
        )
    )


def find_model_file(checkpoint: str | Path) -> Path:
    """The file that a model is loaded from: `find_checkpoint`, or an exported one as it is."""
    return Path(checkpoint) if Path(checkpoint).is_file() else find_checkpoint(checkpoint)


def find_results_folder(checkpoint: str | Path) -> Path:
    """The folder for what is made of a checkpoint: that in which its file lies.

    For a model of the Hub, or one that came with the package, it is the working folder: theirs are
    places where nobody looks for results.
    """
    if is_hub_name(checkpoint):
        return Path()
    file = find_model_file(checkpoint)
    return Path() if file.resolve().is_relative_to(WEIGHTS) else file.parent


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a Lightning checkpoint of ours; refuses anything that would run code."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(
            f"{path} holds more than weights and numbers and could run code when opened, so it is "
            "refused; expected a checkpoint that Tiramisu wrote"
        ) from None
    except (RuntimeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is truncated or is no checkpoint ({reason})") from None
    if not isinstance(checkpoint, dict) or not {"state_dict", "model_info"} <= checkpoint.keys():
        raise ValueError(f"{path} is no checkpoint of a Tiramisu run")
    return checkpoint
