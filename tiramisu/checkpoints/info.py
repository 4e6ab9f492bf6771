"""What the numbers of a network mean, and the JSON that says so."""

import dataclasses
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

INFO_NAME = "model.json"
HUB_CONFIG_NAME = "config.json"
# Keys of config.json that are for people and for the Hub, and not part of a ModelInfo.
CONFIG_EXTRAS = ("library_name", "tiramisu_version")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a network's weights mean; the content of `model.json`."""

    arch: str
    """Name of the network, as `build_model` knows it."""
    class_names: tuple[str, ...]
    """One name for each logit, in order."""
    colors: tuple[tuple[int, int, int], ...]
    """One RGB colour, 0..255, for each class."""
    task: Literal["segmentation", "classification"] = "segmentation"
    """What logits label: each pixel, or the whole image."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted from each RGB channel after its scaling to 0..1."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divides each channel after `mean` is subtracted."""
    image_scale: float = 1.0
    """Factor by which images are shrunk before the network sees them."""
    image_size: tuple[int, int] | None = None
    """Height and width to which images are brought before they are classified; None for any."""
    dropout: float | None = None
    """Dropout the network was trained with; None is its architecture's own."""
    dataset: str = ""
    """Name of the data set it was trained on."""
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    """What was measured on the validation split, in percent."""

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, origin: str) -> "ModelInfo":
        """Read what JSON or a checkpoint holds; `origin` names it in errors."""
        size = values.get("image_size")
        try:
            return cls(
                **{
                    **values,
                    "class_names": tuple(values["class_names"]),
                    "colors": tuple(tuple(color) for color in values["colors"]),
                    "mean": tuple(values["mean"]),
                    "std": tuple(values["std"]),
                    "image_size": None if size is None else tuple(size),
                }
            )
        except (TypeError, KeyError) as error:
            raise ValueError(
                f"{origin} does not describe a Tiramisu model ({error}); expected the model.json "
                "that training writes beside model.safetensors"
            ) from None


def read_info(path: Path) -> ModelInfo:
    """Read a `model.json`, or the `config.json` that stands in its place on the Hub."""
    if not path.is_file() and path.with_name(HUB_CONFIG_NAME).is_file():
        path = path.with_name(HUB_CONFIG_NAME)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: the weights beside it cannot be understood without it"
        )
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged, not readable as JSON: {error}") from None
    return ModelInfo.from_dict(strip_extras(values), origin=str(path))


def config_of(info: ModelInfo) -> dict[str, Any]:
    """What config.json says of a model."""
    try:
        ours = version("tiramisu-seg")
    except PackageNotFoundError:  # used from a clone, by torch.hub for one
        ours = None
    extras = dict(zip(CONFIG_EXTRAS, ("tiramisu", ours), strict=True))
    return {**extras, **dataclasses.asdict(info)}


def strip_extras(config: dict[str, Any]) -> dict[str, Any]:
    """What config.json says of a model, as `model.json` would say it."""
    return {name: value for name, value in config.items() if name not in CONFIG_EXTRAS}
