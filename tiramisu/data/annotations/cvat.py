"""CVAT's XML for images, version 1.1."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from tiramisu.data.annotations.region import (
    AnnotatedImage,
    Annotations,
    Bitmap,
    Coordinate,
    Line,
    Point,
    Polygons,
    Region,
    Shape,
    polygon,
    turned_ellipse,
    turned_rectangle,
)
from tiramisu.data.annotations.run_lengths import RunLengths, as_counts
from tiramisu.data.annotations.wording import (
    Side,
    naming,
    read_image_size,
    read_label,
    read_name,
    require_once,
    show_kind,
)
from tiramisu.data.json_file import validate
from tiramisu.data.plain_file import read_text
from tiramisu.data.readers.size_limit import check_size

_KINDS = ("polygon", "box", "ellipse", "polyline", "mask")
_Degrees = Annotated[float, Field(allow_inf_nan=False)]
_Radius = Annotated[Coordinate, Field(ge=0)]
_Place = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]


class _Image(TypedDict):
    name: str
    width: Side
    height: Side
    subset: NotRequired[str]


class _Box(TypedDict):
    xtl: Coordinate
    ytl: Coordinate
    xbr: Coordinate
    ybr: Coordinate
    rotation: NotRequired[_Degrees]


class _Ellipse(TypedDict):
    cx: Coordinate
    cy: Coordinate
    rx: _Radius
    ry: _Radius
    rotation: NotRequired[_Degrees]


class _Mask(TypedDict):
    left: _Place
    top: _Place
    width: Side
    height: Side
    rle: str


def read_cvat(path: Path) -> Annotations:
    """The annotations of a CVAT file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or has something that is no region; the message names it.
    """
    text = read_text(path, kind="file of annotations")
    with naming(path):
        root = _parse(text)
        if root.tag != "annotations" or root.find("track") is not None:
            raise ValueError(
                "no CVAT file for images; export the annotations as `CVAT for images 1.1`"
            )
        images = tuple(_read_images(root, path))
        require_once(images)
        labels, colors = _read_labels(root)
        used = {region.label for image in images for region in image.regions}
        if labels and used - labels.keys():
            unknown = min(used - labels.keys())
            raise ValueError(f"a shape has the label {unknown}, which is not in <meta>")
        return Annotations(
            title="CVAT", labels=tuple(labels or sorted(used)), images=images, colors=colors
        )


def _parse(text: str) -> ElementTree.Element:
    # Entities, by which a few lines become gigabytes, need a document type; CVAT writes none.
    if "<!DOCTYPE" in text:
        raise ValueError("XML with a document type (<!DOCTYPE) is not read; remove it")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"not readable as XML: {error}") from None


def _read_labels(
    root: ElementTree.Element,
) -> tuple[dict[str, None], dict[str, tuple[int, int, int]]]:
    """Names in the order of <meta>, and their colors."""
    names: dict[str, None] = {}
    colors = {}
    for label in root.iterfind("./meta//labels/label"):
        if label.findtext("parent") or label.findtext("type") == "tag":
            continue  # a part of a skeleton, or a label of whole images
        with naming("a label in <meta>"):
            name = read_label(label.findtext("name") or "")
        names[name] = None
        if found := re.fullmatch("#([0-9a-fA-F]{6})", label.findtext("color") or ""):
            red, green, blue = bytes.fromhex(found[1])
            colors[name] = (red, green, blue)
    return names, colors


def _read_images(root: ElementTree.Element, path: Path) -> Iterator[AnnotatedImage]:
    for number, element in enumerate(root.iterfind("image")):
        with naming(f"image {number}"):
            image = validate(_Image, dict(element.attrib))
            name = read_name(image["name"])
            size = read_image_size(name, height=image["height"], width=image["width"])
        with naming(name):
            regions = []
            for place, shape in enumerate(child for child in element if child.tag != "tag"):
                label = shape.get("label", "")
                with naming(f"{shape.tag} {place} ({label})"):
                    order = validate(_Place, shape.get("z_order", "0"))
                    region = Region(label=read_label(label), shape=_read_shape(shape))
                regions.append((order, region))
        regions.sort(key=lambda pair: pair[0])  # equal ones stay in the order of the file
        yield AnnotatedImage(
            name=name,
            size=size,
            regions=tuple(region for _, region in regions),
            origin=path,
            subset=image.get("subset"),
        )


def _read_shape(shape: ElementTree.Element) -> Shape:
    values = dict(shape.attrib)
    if shape.tag == "polygon":
        return Polygons(rings=(polygon(_read_points(values)),))
    if shape.tag == "polyline":
        points = _read_points(values)
        if len(points) < 2:
            raise ValueError(f"a polyline of {len(points)} points; expected 2 or more")
        return Line(points=points)
    if shape.tag == "box":
        box = validate(_Box, values)
        corners = ((box["xtl"], box["ytl"]), (box["xbr"], box["ybr"]))
        return turned_rectangle(corners, degrees=box.get("rotation", 0))
    if shape.tag == "ellipse":
        found = validate(_Ellipse, values)
        return turned_ellipse(
            center=(found["cx"], found["cy"]),
            radii=(found["rx"], found["ry"]),
            degrees=found.get("rotation", 0),
        )
    if shape.tag == "mask":
        mask = validate(_Mask, values)
        check_size("it", height=mask["height"], width=mask["width"])
        counts = as_counts(validate(list[int], mask["rle"].split(",")))
        runs = RunLengths(height=mask["height"], width=mask["width"], counts=counts)
        return Bitmap(left=mask["left"], top=mask["top"], runs=runs)
    raise ValueError(show_kind(shape.tag, _KINDS))


def _read_points(values: dict[str, str]) -> tuple[Point, ...]:
    """Points such as `10.5,20.0;30.1,40.2`."""
    pairs = [pair.split(",") for pair in values.get("points", "").split(";") if pair]
    return tuple(validate(list[Point], pairs))
