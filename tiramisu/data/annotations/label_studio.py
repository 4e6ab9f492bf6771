"""Label Studio's JSON export: brush strokes, polygons, rectangles and ellipses."""

import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from tiramisu.data.annotations.region import (
    AnnotatedImage,
    Annotations,
    Bitmap,
    Point,
    Polygons,
    Region,
    Shape,
    polygon,
    turned_ellipse,
    turned_rectangle,
)
from tiramisu.data.annotations.run_lengths import read_brush
from tiramisu.data.annotations.wording import (
    MOST_BYTES,
    Side,
    naming,
    read_image_size,
    read_label,
    require_once,
    show_kind,
)
from tiramisu.data.json_file import read_json, validate

_KINDS = ("brushlabels", "polygonlabels", "rectanglelabels", "ellipselabels")
_OF_WHOLE_IMAGES = ("choices", "textarea", "rating", "number", "datetime", "taxonomy", "relation")
_Percent = Annotated[float, Field(ge=-10_000, le=10_000, allow_inf_nan=False)]
_UPLOAD = re.compile("[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of an uploaded file."""


class _Result(TypedDict):
    type: str
    value: NotRequired[dict[str, Any]]
    original_width: NotRequired[Side]
    original_height: NotRequired[Side]
    image_rotation: NotRequired[float]


class _Annotation(TypedDict):
    result: list[_Result]
    was_cancelled: NotRequired[bool | None]
    ground_truth: NotRequired[bool | None]


class _Task(TypedDict):
    id: NotRequired[int | str]
    data: dict[str, Any]
    annotations: list[_Annotation]


class _Box(TypedDict):
    x: _Percent
    y: _Percent
    width: _Percent
    height: _Percent
    rotation: NotRequired[_Percent]


class _Ellipse(TypedDict):
    x: _Percent
    y: _Percent
    radiusX: Annotated[_Percent, Field(ge=0)]
    radiusY: Annotated[_Percent, Field(ge=0)]
    rotation: NotRequired[_Percent]


def read_label_studio(path: Path, images: Path) -> Annotations:
    """The annotations of a JSON export.

    Of several annotations of a task the one that is marked as ground truth is read, or else the
    last that was not cancelled.

    Args:
        path: the file.
        images: the folder of the images; it tells which names begin with what Label Studio adds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or has something that is no region; the message names it.
    """
    content = read_json(path, most=MOST_BYTES)
    with naming(path):
        first = content[0] if isinstance(content, list) and content else None
        if isinstance(first, dict) and "annotations" not in first:
            raise ValueError("no full export of Label Studio; export as JSON, not as JSON-MIN")
        found = []
        for number, task in enumerate(validate(list[_Task], content)):
            with naming(f"task {task.get('id', number)}"):
                found.append(_read_task(task, path, images))
        require_once(found)
        return Annotations(
            title="Label Studio",
            labels=tuple(sorted({region.label for image in found for region in image.regions})),
            images=tuple(found),
        )


def _read_task(task: _Task, path: Path, images: Path) -> AnnotatedImage:
    done = [entry for entry in task["annotations"] if not entry.get("was_cancelled")]
    done.sort(key=lambda entry: bool(entry.get("ground_truth")))
    results = done[-1]["result"] if done else []
    size: tuple[int, int] | None = None
    regions = []
    for number, result in enumerate(results):
        if result["type"] in _OF_WHOLE_IMAGES:
            continue
        with naming(f"region {number} ({result['type']})"):
            width, height = result.get("original_width"), result.get("original_height")
            if width is None or height is None:
                raise ValueError("no original_width and original_height")
            here = read_image_size("its image", height=height, width=width)
            if size not in (None, here) or result.get("image_rotation"):
                raise ValueError(
                    "its image is turned or has another size than in other regions; expected one "
                    "size, and an image as it lies in its file"
                )
            size = here
            regions.append(_read_region(result, height=height, width=width))
    return AnnotatedImage(
        name=_read_name(task["data"], images), size=size, regions=tuple(regions), origin=path
    )


def _read_name(data: dict[str, Any], images: Path) -> str:
    """The name of the image's file, from a URL or a path of the server.

    It is the name on the disk: without the letters that Label Studio puts before it, where only
    such a file is there.
    """
    urls = [str(value) for key, value in data.items() if key in ("image", "img", "ocr")]
    urls = urls or [value for value in data.values() if isinstance(value, str) and "/" in value]
    if not urls:
        raise ValueError("its data have no image; expected the key image")
    split = urlsplit(urls[0])
    local = parse_qs(split.query).get("d", [split.path])[0]  # /data/local-files/?d=folder/a.jpg
    name = re.split(r"[/\\]", unquote(local))[-1]
    if not name or name in (".", ".."):
        raise ValueError(f"its image {urls[0]!r} has no file name")
    plain = _UPLOAD.sub("", name, count=1) if _UPLOAD.match(name) else name
    return plain if not (images / name).is_file() and (images / plain).is_file() else name


def _read_region(result: _Result, *, height: int, width: int) -> Region:
    value = result.get("value", {})
    labels = next((value[key] for key in value if key.endswith("labels")), None)
    names = validate(list[str], labels if labels is not None else [])
    if len(names) != 1:
        raise ValueError(f"{len(names)} labels; expected one")
    with naming(names[0]):
        shape = _read_shape(result["type"], value, height=height, width=width)
        return Region(label=read_label(names[0]), shape=shape)


def _read_shape(kind: str, value: dict[str, Any], *, height: int, width: int) -> Shape:
    def place(x: float, y: float) -> Point:
        return round(x / 100 * width, 6), round(y / 100 * height, 6)

    if "rle" in value:
        counts = validate(list[int], value["rle"])
        return Bitmap(left=0, top=0, runs=read_brush(counts, height=height, width=width))
    if kind in ("polygonlabels", "polygon") or "points" in value:
        points = validate(list[tuple[_Percent, _Percent]], value.get("points"))
        return Polygons(rings=(polygon([place(x, y) for x, y in points]),))
    if "radiusX" in value:
        found = validate(_Ellipse, value)
        return turned_ellipse(
            center=place(found["x"], found["y"]),
            radii=place(found["radiusX"], found["radiusY"]),
            degrees=found.get("rotation", 0),
        )
    if kind in ("rectanglelabels", "rectangle", "labels") and "width" in value:
        box = validate(_Box, value)
        first = place(box["x"], box["y"])
        last = place(box["x"] + box["width"], box["y"] + box["height"])
        return turned_rectangle((first, last), degrees=box.get("rotation", 0), around=first)
    raise ValueError(show_kind(kind, _KINDS))
