"""What the weights of a network mean, and the JSON files that say so."""

import dataclasses
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tiramisu.atomic import write_file

INFO_NAME = "model.json"
"""The JSON beside the weights in the folder of a run."""
HUB_CONFIG_NAME = "config.json"
"""The JSON beside the weights in a published model, where the Hub expects it."""
HUB_KEYS = ("library_name", "tiramisu_version")
"""Keys of config.json that are not part of a ModelInfo."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a network's weights mean; the content of `model.json`."""

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}

    arch: str
    """Name of the network, as `build_model` knows it."""
    class_names: tuple[str, ...]
    """One name for each logit, in order."""
    colors: tuple[tuple[int, int, int], ...]
    """One RGB colour, 0..255, for each class."""
    task: Literal["segmentation", "classification"] = "segmentation"
    """Whether the logits label each pixel or the whole image."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted from each RGB channel after scaling to 0..1."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divides each channel after `mean` is subtracted."""
    image_scale: float = 1.0
    """Factor by which images are shrunk before the network sees them."""
    image_size: tuple[int, int] | None = None
    """Height and width to which images are resized before they are classified; None for any size.
    """
    dropout: float | None = None
    """Dropout rate in training; None is the default of the architecture."""
    dataset: str = ""
    """Name of the data set the network was trained on."""
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    """Scores on the validation split, in percent."""

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, origin: str) -> "ModelInfo":
        """Read the content of a JSON file or of a checkpoint; `origin` names it in errors.

        Raises:
            ValueError: it does not describe a model.
        """
        if isinstance(values, dict):
            values = {name: value for name, value in values.items() if name not in HUB_KEYS}
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".lstrip(": ")
            raise ValueError(
                f"{origin} does not describe a Tiramisu model ({problem}); expected the model.json "
                "that training writes beside model.safetensors"
            ) from None


def read_info(folder: Path) -> ModelInfo:
    """Read the `model.json` of a folder, or else its `config.json`.

    Raises:
        FileNotFoundError: there is neither.
        ValueError: the file is damaged or does not describe a model.
    """
    path = folder / INFO_NAME
    if not path.is_file():
        path = folder / HUB_CONFIG_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder / INFO_NAME} is missing; the weights cannot be used without it, so copy it "
            "from the folder that they came from"
        )
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged, not readable as JSON: {error}") from None
    return ModelInfo.from_dict(values, origin=str(path))


def write_info(info: ModelInfo, folder: Path) -> None:
    """Write `model.json`, as in the folder of a run."""
    _write_json(dataclasses.asdict(info), folder / INFO_NAME)


def write_hub_config(info: ModelInfo, folder: Path) -> None:
    """Write `config.json`, as in a published model."""
    try:
        installed = version("tiramisu-seg")
    except PackageNotFoundError:  # used from a clone, for example by torch.hub
        installed = None
    extras = dict(zip(HUB_KEYS, ("tiramisu", installed), strict=True))
    _write_json({**extras, **dataclasses.asdict(info)}, folder / HUB_CONFIG_NAME)


def _write_json(values: dict[str, Any], path: Path) -> None:
    write_file(path, json.dumps(values, indent=2) + "\n")
