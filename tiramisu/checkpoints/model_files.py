"""Finding and reading the file of a trained model.

Nothing here runs code from a file: safetensors holds only numbers, and Lightning's `.ckpt` is
opened with `weights_only=True`.
"""

import pickle
import warnings
from pathlib import Path
from typing import Annotated, Any, cast

import torch
from pydantic import PlainValidator
from torch import Tensor
from typing_extensions import TypedDict

from tiramisu.checkpoints.archive import check_zip, holds_objects, is_torchscript
from tiramisu.checkpoints.hub import fetch_model, is_hub_name
from tiramisu.checkpoints.info import ModelInfo, read_info
from tiramisu.checkpoints.run_folder import BEST, FIRST_FOLD, LAST
from tiramisu.checkpoints.weights_file import WEIGHTS_NAME, read_weights
from tiramisu.data.entry import EntryError
from tiramisu.data.json_file import validate
from tiramisu.shipped import WEIGHTS, list_weights
from tiramisu.text import did_you_mean, in_one_line, show

CHECKPOINT_SUFFIXES = (".safetensors", ".ckpt")


def _check_tensor(value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise EntryError(f"expected a tensor, not {show(value)}")
    if value.layout is not torch.strided or value.is_quantized or value.is_meta:
        raise EntryError("expected a plain tensor, not a sparse, quantised or empty one")
    return value


PlainTensor = Annotated[Tensor, PlainValidator(_check_tensor)]


def find_checkpoint(path: str | Path) -> Path:
    """The file to load for a folder, a file, the name of a shipped model, or a name on the Hub.

    A folder of the user is preferred to a shipped model of the same name.

    Raises:
        FileNotFoundError: there is no such file, or nothing to load in the folder.
        ValueError: the file is not a checkpoint, or there is no such model on the Hub.
        OSError: the Hub cannot be reached.
    """
    if is_hub_name(path):
        path = fetch_model(str(path))
    elif str(Path(path)) in list_weights() and not Path(path).exists():
        path = WEIGHTS / path
    path = Path(path)
    if path.is_file():
        if path.suffix not in CHECKPOINT_SUFFIXES:
            raise ValueError(
                f"{path} is not a Tiramisu checkpoint; expected the folder of a run, a "
                ".safetensors file or a .ckpt file (weights alone, such as a .pth, are for "
                "--init-from). Exported models (.onnx, .xml, .pt2) can "
                "predict and be evaluated (in Python: load_exported), but not be trained or "
                "exported again"
            )
        return path
    if not path.is_dir():
        names = ", ".join(list_weights())
        raise FileNotFoundError(
            f"there is no checkpoint {path}; give the folder of a run, such as runs/NAME"
            + (f", a model that comes with Tiramisu ({names})" if names else "")
            + ", or hf://USER/NAME for one on Hugging Face's Hub; --init-from "
            "also takes a file of weights, .pth or .safetensors"
            + did_you_mean(str(path), list_weights())
        )
    # An interrupted run has not published its model yet, but has checkpoints.
    for name in (WEIGHTS_NAME, BEST, LAST):
        if (path / name).is_file():
            return path / name
    hidden = str(path) in list_weights()
    raise FileNotFoundError(
        f"nothing to load in {path}; expected {WEIGHTS_NAME} or {LAST}, which a run writes after "
        "its first epoch"
        + ("; rename it to use the model that comes with Tiramisu" if hidden else "")
    )


def list_members(checkpoint: str | Path) -> list[str]:
    """The models that a --checkpoint names: one, or those of an ensemble.

    Those of an ensemble are separated by commas, or are the folds of a cross-validation. What
    exists under the whole name is one model.

    Raises:
        ValueError: a model is named twice, or a name is missing.
    """
    text = str(checkpoint)
    if "," not in text or Path(text).exists():
        folds = _find_folds(Path(text))
        return [str(folder) for folder in folds] or [text]
    names = [name.strip() for name in text.split(",")]
    if "" in names:
        raise ValueError(f"{text}: a name is missing; expected such as RUN1,RUN2,RUN3")
    members = [member for name in names for member in list_members(name)]
    twice = [member for number, member in enumerate(members) if member in members[:number]]
    if twice:
        raise ValueError(f"{text}: {twice[0]} is named twice; expected different models")
    return members


def _find_folds(folder: Path) -> list[Path]:
    """The folders of the folds of a cross-validation that are trained; none in other folders."""
    if not (folder / FIRST_FOLD).is_file():
        return []
    numbers = sorted(
        int(path.name.removeprefix("fold"))
        for path in folder.glob("fold*")
        if path.name.removeprefix("fold").isdecimal() and (path / WEIGHTS_NAME).is_file()
    )
    return [folder / f"fold{number}" for number in numbers]


def find_model_file(checkpoint: str | Path) -> Path:
    """The file of a model: an existing file (also an exported model), or `find_checkpoint`."""
    return Path(checkpoint) if Path(checkpoint).is_file() else find_checkpoint(checkpoint)


def find_results_folder(checkpoint: str | Path) -> Path:
    """The folder for results about a model: the folder of its file.

    For a model from the Hub, or one that comes with the package, it is the working folder: results
    would be hard to find in a cache or inside the package. So it is for an ensemble, unless that is
    the folder of a cross-validation.
    """
    if len(list_members(checkpoint)) > 1:
        return Path(checkpoint) if Path(checkpoint).is_dir() else Path()
    if is_hub_name(checkpoint):
        return Path()
    file = find_model_file(checkpoint)
    if file.resolve().is_relative_to(WEIGHTS):
        return Path()
    # A run that was stopped in its first epoch has its file deeper in the folder.
    return Path(checkpoint) if Path(checkpoint).is_dir() else file.parent


class Checkpoint(TypedDict):
    """What every checkpoint of a run holds, beside the state of its training."""

    state_dict: dict[str, PlainTensor]
    model_info: dict[str, Any]


def read_archive(path: Path, *, remedy: str = "expected a checkpoint that Tiramisu wrote") -> Any:
    """Read what `torch.save` has written.

    Args:
        path: the file.
        remedy: what to do about a file with objects in it, for the error.

    Raises:
        ValueError: the file could run code when opened, or is damaged.
    """
    if is_torchscript(path):
        raise ValueError(f"{path} is a program of TorchScript, which could run code; {remedy}")
    try:
        check_zip(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats that are refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        if holds_objects(path):
            raise ValueError(
                f"{path} was refused: it holds objects that could run code when opened; {remedy}"
            ) from None
        raise ValueError(f"{path} is damaged or is no checkpoint; copy it again") from None
    except Exception as error:  # of many kinds, for what is no checkpoint
        raise ValueError(
            f"{path} is damaged, truncated or no checkpoint ({in_one_line(error)}); copy it again"
        ) from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a Lightning checkpoint that Tiramisu wrote.

    Raises:
        ValueError: the file could run code when opened, is damaged, or is not from Tiramisu.
    """
    checkpoint = read_archive(path)
    try:
        validate(Checkpoint, checkpoint)
    except ValueError as error:
        raise ValueError(f"{path} is not a checkpoint of a Tiramisu run ({error})") from None
    return cast(dict[str, Any], checkpoint)


def read_model_file(path: Path) -> tuple[ModelInfo, dict[str, Tensor]]:
    """The description and the weights of a network, from a `.safetensors` or a `.ckpt` file."""
    if path.suffix != ".ckpt":
        return read_info(path.parent), read_weights(path)
    checkpoint = read_checkpoint(path)
    info = ModelInfo.from_dict(checkpoint["model_info"], origin=str(path))
    prefix = "model.network."
    weights = {
        name.removeprefix(prefix): value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith(prefix)
    }
    return info, weights
