"""What the weights of a network mean, and the JSON files that say so."""

import dataclasses
import json
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import AfterValidator, Field, create_model

from tiramisu.atomic import write_file
from tiramisu.data.entry import (
    Classes,
    Color,
    Entry,
    ListOf,
    Percent,
    Text,
    check_name,
    expect_list,
)
from tiramisu.data.image_format import ImageFormat, PixelType
from tiramisu.data.json_file import read_json, validate
from tiramisu.data.labels import MAX_CLASSES
from tiramisu.data.readers.raster import MAX_BANDS
from tiramisu.data.spec import MAX_IMAGE_CLASSES, MAX_SIDE, Task
from tiramisu.text import show

INFO_NAME = "model.json"
"""The JSON beside the weights in the folder of a run."""
HUB_CONFIG_NAME = "config.json"
"""The JSON beside the weights in a published model, where the Hub expects it."""
HUB_KEYS = ("library_name", "tiramisu_version")
"""Keys of config.json that are not part of a ModelInfo."""


_Share = Annotated[float, Field(ge=0, lt=1)]
_Scale = Annotated[float, Field(ge=0.01, le=1)]
_Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
_Shift = Annotated[float, Field(ge=-1000, le=1000)]
_Spread = Annotated[float, Field(ge=1e-6, le=1e6)]
_Value = Annotated[float, Field(ge=-1e38, le=1e38)]
_Range = Annotated[tuple[_Value, _Value], expect_list(2, "[low, high]")]
_Band = Annotated[int, Field(ge=1, le=MAX_BANDS)]
_size = expect_list(2, "[height, width] in pixels")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a network's weights mean; the content of `model.json`.

    Raises:
        ValueError: a field has another type or is out of its range, or the fields do not agree.
    """

    arch: Text
    """Name of the network, as `build_model` knows it."""
    class_names: Annotated[Classes[Text], Field(max_length=MAX_IMAGE_CLASSES)]
    """One name for each logit, in order; all are different."""
    colors: ListOf[Color]
    """One RGB colour, 0..255, for each class."""
    task: Task = "segmentation"
    """Whether the logits label each pixel or the whole image."""
    pixel_type: PixelType = "uint8"
    """Type of the values of images."""
    bands: ListOf[_Band] | None = None
    """Numbers of the bands of image files that the network sees, from 1; None for all."""
    value_range: ListOf[_Range] = ((0.0, 255.0),) * 3
    """The two values of each band that are scaled to 0 and 1."""
    mean: ListOf[_Shift] = (0.0, 0.0, 0.0)
    """Subtracted from each band after scaling."""
    std: ListOf[_Spread] = (1.0, 1.0, 1.0)
    """Divides each band after `mean` is subtracted."""
    image_scale: _Scale = 1.0
    """Factor by which images are shrunk before the network sees them."""
    image_size: Annotated[tuple[_Side, _Side], _size] | None = None
    """Height and width to which images are resized before the network sees them; None for any size.
    For classification their aspect ratio is kept, and the center is cut out."""
    dropout: _Share | None = None
    """Dropout rate in training; None is the default of the architecture."""
    dataset: Annotated[str, AfterValidator(check_name)] = ""
    """Name of the data set the network was trained on."""
    metrics: dict[str, Percent] = dataclasses.field(default_factory=dict)
    """Scores on the validation split, in percent."""

    def __post_init__(self) -> None:
        for name, value in validate(_Fields, vars(self)):
            object.__setattr__(self, name, value)  # lists become tuples
        if len(self.colors) != len(self.class_names):
            raise ValueError(
                f"colors: {len(self.colors)} colors for {len(self.class_names)} classes; expected "
                "one for each"
            )
        counts = {name: len(getattr(self, name)) for name in ("value_range", "mean", "std")}
        counts |= {} if self.bands is None else {"bands": len(self.bands)}
        [(channels, _)] = Counter(counts.values()).most_common(1)
        for name, count in counts.items():
            if count != channels or not 1 <= count <= MAX_BANDS:
                raise ValueError(f"{name}: {count} for {channels} bands; expected one for each")
        if any(low >= high for low, high in self.value_range):
            raise ValueError("value_range: expected [low, high] with low below high")
        if self.task == "segmentation" and len(self.class_names) > MAX_CLASSES:
            raise ValueError(
                f"class_names: {len(self.class_names)} classes; expected {MAX_CLASSES} or fewer, "
                "because a mask has 8 bits"
            )
        if self.seen_size is not None and self.image_scale != 1:
            raise ValueError("image_size: expected none where image_scale is not 1")
        twice = [name for name, count in Counter(self.class_names).items() if count > 1]
        if twice:
            raise ValueError(f"class_names: {show(twice[0])} is there twice; expected other names")

    @property
    def seen_size(self) -> tuple[int, int] | None:
        """Height and width to which images are resized before their pixels are classified."""
        return self.image_size if self.task == "segmentation" else None

    @property
    def channels(self) -> int:
        """Number of bands that the network sees."""
        return len(self.mean)

    @property
    def image_format(self) -> ImageFormat:
        """The bands and the type of images."""
        return ImageFormat(channels=self.channels, pixel_type=self.pixel_type, bands=self.bands)

    @classmethod
    def from_dict(cls, values: object, *, origin: str) -> "ModelInfo":
        """Read the content of a JSON file or of a checkpoint; `origin` names it in errors.

        Raises:
            ValueError: it does not describe a model.
        """
        if isinstance(values, dict):
            values = {name: value for name, value in values.items() if name not in HUB_KEYS}
        try:
            return cls(**dict(validate(_Fields, values)))
        except ValueError as error:
            raise ValueError(
                f"{origin} does not describe a Tiramisu model ({error}); expected the model.json "
                "that training writes beside model.safetensors"
            ) from None


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return ... if field.default is dataclasses.MISSING else field.default


_TYPES = get_type_hints(ModelInfo, include_extras=True)
_Fields: type[Entry] = create_model(  # type: ignore[call-overload]
    "_Fields",
    __base__=Entry,
    **{f.name: (_TYPES[f.name], _default(f)) for f in dataclasses.fields(ModelInfo)},
)
"""The fields of a ModelInfo, with the checks of their types and ranges."""


def read_info(folder: Path) -> ModelInfo:
    """Read the `model.json` of a folder, or else its `config.json`.

    Raises:
        FileNotFoundError: there is neither.
        ValueError: the file is damaged or does not describe a model.
    """
    path = find_info(folder)
    return ModelInfo.from_dict(read_json(path), origin=str(path))


def find_info(folder: Path) -> Path:
    """The `model.json` of a folder, or else its `config.json`.

    Raises:
        FileNotFoundError: there is neither.
    """
    for name in (INFO_NAME, HUB_CONFIG_NAME):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"{folder / INFO_NAME} is missing; the weights cannot be used without it, so copy it "
        "from the folder that they came from"
    )


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
