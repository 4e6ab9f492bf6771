"""A trained network on disk: weights as safetensors, and beside them a JSON that describes them.

`model.json` holds all that prediction needs (architecture, classes, colours, normalisation), so a
model is used without the YAML it was trained with. Nothing here ever runs code from a file:
safetensors holds numbers only, and Lightning's `.ckpt` is opened with `weights_only=True`.
"""

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tiramisu.engine.run import BEST, LAST
from tiramisu.models import build_model, list_models

WEIGHTS_NAME = "model.safetensors"
INFO_NAME = "model.json"
CHECKPOINT_SUFFIXES = (".safetensors", ".ckpt")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a network's weights mean; the content of `model.json`."""

    arch: str
    """Name of the network, as `build_model` knows it."""
    class_names: tuple[str, ...]
    """One name for each output channel, in order."""
    colors: tuple[tuple[int, int, int], ...]
    """One RGB colour, 0..255, for each class."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted from each RGB channel after its scaling to 0..1."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divides each channel after `mean` is subtracted."""
    image_scale: float = 1.0
    """Factor by which images are shrunk before the network sees them."""
    dropout: float | None = None
    """Dropout the network was trained with; None is its architecture's own."""
    dataset: str = ""
    """Name of the data set it was trained on."""
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    """What was measured on the validation split, in percent."""

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, origin: str) -> "ModelInfo":
        """Read what JSON or a checkpoint holds; `origin` names it in errors."""
        try:
            return cls(
                **{
                    **values,
                    "class_names": tuple(values["class_names"]),
                    "colors": tuple(tuple(color) for color in values["colors"]),
                    "mean": tuple(values["mean"]),
                    "std": tuple(values["std"]),
                }
            )
        except (TypeError, KeyError) as error:
            raise ValueError(
                f"{origin} does not describe a Tiramisu model ({error}); expected the model.json "
                "that training writes beside model.safetensors"
            ) from None


class SegmentationModel(nn.Module):
    """A network together with what its numbers mean.

    Takes RGB images as they are decoded, uint8 or float in 0..255, and normalises them itself.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, info: ModelInfo) -> None:
        super().__init__()
        self.network = network
        self.info = info
        # Not persistent: the numbers live in the JSON, and the weights file holds weights alone.
        self.register_buffer("mean", 255 * torch.tensor(info.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(info.std).view(3, 1, 1), persistent=False)

    @classmethod
    def build(cls, info: ModelInfo, *, memory_efficient: bool = False) -> "SegmentationModel":
        """A model with fresh weights. Raises ValueError if its network does not segment."""
        if info.arch in list_models("classification"):
            raise ValueError(
                f"{info.arch} classifies whole images and gives no logits per pixel; for "
                f"segmentation choose one of {', '.join(list_models('segmentation'))}"
            )
        network = build_model(
            info.arch,
            num_classes=len(info.class_names),
            dropout=info.dropout,
            memory_efficient=memory_efficient,
        )
        return cls(network, info)

    @property
    def device(self) -> torch.device:
        """Where the model is, and wants its images."""
        return self.mean.device

    def forward(self, images: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        """(B, 3, H, W) RGB in 0..255 -> logits (B, num_classes, H, W).

        `size` asks for logits of another height and width, such as the labels' where the network
        saw shrunken images; they are interpolated bilinearly.
        """
        logits = self.network((images - self.mean) / self.std)
        if size is not None and logits.shape[-2:] != size:
            logits = F.interpolate(logits.float(), size=size, mode="bilinear")
        return logits


def save_model(model: SegmentationModel, folder: str | Path) -> Path:
    """Write `model.safetensors` and `model.json` into a folder; returns the weights' path.

    Both appear under their names only when complete, so a crash never leaves half a model.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in model.network.state_dict().items()}
    partial = folder / f"{WEIGHTS_NAME}.partial"
    save_file(weights, partial)
    partial.replace(folder / WEIGHTS_NAME)
    partial = folder / f"{INFO_NAME}.partial"
    partial.write_text(json.dumps(dataclasses.asdict(model.info), indent=2) + "\n")
    partial.replace(folder / INFO_NAME)
    return folder / WEIGHTS_NAME


def load_model(path: str | Path, *, device: str | torch.device = "cpu") -> SegmentationModel:
    """Load a trained model, ready to predict (evaluation mode).

    Args:
        path: a run's folder, a folder with `model.safetensors` and `model.json`, that weights
            file itself, or a Lightning checkpoint (`.ckpt`) of a run.
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
    model = SegmentationModel.build(info)
    load_weights(model.network, weights, origin=f"{path} ({info.arch})")
    return model.to(device).eval()


def find_checkpoint(path: str | Path) -> Path:
    """The file to load for what a user calls a checkpoint: a folder or a file."""
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
        raise FileNotFoundError(
            f"there is no checkpoint {path}; give a run's folder, such as runs/NAME"
        )
    # An interrupted run has no published model yet, but its best or last epoch.
    for name in (WEIGHTS_NAME, BEST, LAST):
        if (path / name).is_file():
            return path / name
    raise FileNotFoundError(
        f"nothing to load in {path}: expected {WEIGHTS_NAME} or {LAST}, which a "
        "run writes after its first epoch"
    )


def read_info(path: Path) -> ModelInfo:
    """Read a `model.json`."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: the weights beside it cannot be understood without it"
        )
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged, not readable as JSON: {error}") from None
    return ModelInfo.from_dict(values, origin=str(path))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is truncated or is no safetensors file ({error})") from None


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


def load_weights(network: nn.Module, weights: dict[str, Tensor], *, origin: str) -> None:
    """Load weights that must fit a network exactly; `origin` names them in errors."""
    expected = network.state_dict()
    missing = sorted(expected.keys() - weights.keys())
    unknown = sorted(weights.keys() - expected.keys())
    reshaped = sorted(
        name
        for name in expected.keys() & weights.keys()
        if expected[name].shape != weights[name].shape
    )
    if missing or unknown or reshaped:
        first = (missing + unknown + reshaped)[0]
        raise ValueError(
            f"{origin} does not fit the network: {len(missing)} layers missing, {len(unknown)} "
            f"unknown, {len(reshaped)} of another shape (first: {first}); the weights belong to "
            "another architecture or another number of classes"
        )
    network.load_state_dict(weights)
