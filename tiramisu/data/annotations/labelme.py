"""LabelMe's JSON files, one for each image."""

import base64
import binascii
import io
import math
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

import numpy as np
from PIL.PngImagePlugin import PngImageFile
from typing_extensions import NotRequired, TypedDict

from tiramisu.data.annotations.region import (
    AnnotatedImage,
    Annotations,
    Bitmap,
    Ellipse,
    Line,
    Point,
    Polygons,
    Rectangle,
    Region,
    Shape,
    polygon,
)
from tiramisu.data.annotations.run_lengths import from_mask
from tiramisu.data.annotations.wording import (
    MOST_BYTES,
    Side,
    naming,
    read_image_size,
    read_label,
    show_kind,
)
from tiramisu.data.json_file import read_json, validate
from tiramisu.data.readers.image_file import is_image_name
from tiramisu.data.readers.size_limit import check_size
from tiramisu.text import show_path

BACKGROUND = "_background_"
"""LabelMe's name for all pixels outside of the shapes."""
_POINT_RADIUS = 5  # in pixels, as LabelMe's converter draws points
_POINTS = {"rectangle": 2, "circle": 2, "point": 1, "mask": 2}  # of shapes that have so many
_KINDS = ("polygon", "rectangle", "circle", "line", "linestrip", "point", "mask")


class _Shape(TypedDict):
    label: str
    points: list[Point]
    shape_type: NotRequired[str | None]
    mask: NotRequired[str | None]


class _File(TypedDict):
    shapes: list[_Shape]
    imagePath: NotRequired[str | None]
    imageData: NotRequired[str | None]
    imageHeight: NotRequired[Side | None]
    imageWidth: NotRequired[Side | None]


def read_labelme(folder: Path, images: Path) -> Annotations:
    """The annotations of a folder of LabelMe files, sub-folders left out.

    An image belongs to a file if it has the name that the file gives, or else that of the file
    itself; folders in that name are left out. Images without a file have no regions.

    Args:
        folder: the folder of the JSON files.
        images: the folder of the images.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is damaged, or has something that is no region; the message names it.
    """
    names = {path.name for path in images.iterdir() if is_image_name(path.name)}
    stems = {Path(name).stem: name for name in sorted(names)}
    found: dict[str, AnnotatedImage] = {}
    for path in list_files(folder):
        image = _read_file(path, names, stems)
        if image.name in found:
            other = found[image.name].origin
            raise ValueError(
                f"{show_path(other)} and {show_path(path)} annotate the same image "
                f"{show_path(image.name)}; remove one"
            )
        found[image.name] = image
    for name in names - found.keys():
        found[name] = AnnotatedImage(name=name, size=None, regions=(), origin=images / name)
    labels = {region.label for image in found.values() for region in image.regions}
    return Annotations(
        title="LabelMe",
        labels=tuple(sorted(labels)),
        images=tuple(found[name] for name in sorted(found)),
        background=BACKGROUND,
    )


def list_files(folder: Path) -> list[Path]:
    """The JSON files of a folder."""
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def read_embedded(path: Path) -> bytes:
    """The image file that a LabelMe file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds none, or a damaged one.
    """
    content = read_json(path, most=MOST_BYTES)
    with naming(path):
        return _decode(validate(_File, content).get("imageData") or "", "imageData")


def _read_file(path: Path, names: set[str], stems: dict[str, str]) -> AnnotatedImage:
    content = read_json(path, most=MOST_BYTES)
    with naming(path):
        file = validate(_File, content)
        given = PureWindowsPath(file.get("imagePath") or "").name  # knows / and \
        name = given if given in names else stems.get(path.stem, given or path.stem)
        height, width = file.get("imageHeight"), file.get("imageWidth")
        size = read_image_size(name, height=height, width=width) if height and width else None
        regions = []
        for number, shape in enumerate(file["shapes"]):
            with naming(f"shape {number} ({shape['label']})"):
                regions.append(Region(label=read_label(shape["label"]), shape=_read_shape(shape)))
    embedded = name not in names and bool(file.get("imageData"))
    return AnnotatedImage(
        name=name, size=size, regions=tuple(regions), origin=path, embedded=embedded
    )


def _read_shape(shape: _Shape) -> Shape:
    kind, points = shape.get("shape_type") or "polygon", shape["points"]
    if kind in _POINTS and len(points) != _POINTS[kind]:
        raise ValueError(f"a {kind} of {len(points)} points; expected {_POINTS[kind]}")
    if kind in ("polygon", "oriented_rectangle"):
        return Polygons(rings=(polygon(points),))
    if kind == "rectangle":
        return Rectangle(corners=(points[0], points[1]))
    if kind == "circle":
        return _circle(points[0], math.dist(*points))
    if kind == "point":
        return _circle(points[0], _POINT_RADIUS)
    if kind in ("line", "linestrip"):
        if len(points) < 2:
            raise ValueError(f"a {kind} of {len(points)} points; expected 2 or more")
        return Line(points=tuple(points))
    if kind == "mask":
        return _read_mask(shape.get("mask") or "", points)
    raise ValueError(show_kind(kind, _KINDS))


def _circle(center: Point, radius: float) -> Ellipse:
    x, y = center
    return Ellipse(corners=((x - radius, y - radius), (x + radius, y + radius)))


def _read_mask(text: str, points: Sequence[Point]) -> Bitmap:
    """A PNG, and the corners of its box; the last pixel belongs to the box."""
    (left, top), (right, bottom) = ((int(x), int(y)) for x, y in points)
    content = _decode(text, "mask")
    try:
        file = PngImageFile(io.BytesIO(content))
    except (OSError, SyntaxError, ValueError):
        raise ValueError("its mask is no PNG; the file is damaged") from None
    if file.size != (right - left + 1, bottom - top + 1):
        raise ValueError(
            f"its mask has {file.height} x {file.width} pixels (height x width), its box "
            f"{bottom - top + 1} x {right - left + 1}"
        )
    check_size("its mask", height=file.height, width=file.width)
    try:
        mask = np.asarray(file.convert("L")) > 0
    except (OSError, SyntaxError, ValueError):
        raise ValueError("its mask is a damaged PNG") from None
    return Bitmap(left=left, top=top, runs=from_mask(mask))


def _decode(text: str, key: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not content:
        raise ValueError(f"its {key} is no file in base64" if text else f"it has no {key}")
    return content
