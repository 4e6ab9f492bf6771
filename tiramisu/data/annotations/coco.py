"""COCO's JSON of instances: polygons and run lengths."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from typing_extensions import NotRequired, TypedDict

from tiramisu.data.annotations.region import (
    AnnotatedImage,
    Annotations,
    Bitmap,
    Coordinate,
    Polygons,
    Region,
    Shape,
    polygon,
)
from tiramisu.data.annotations.run_lengths import RunLengths, as_counts, read_coco_counts
from tiramisu.data.annotations.wording import (
    MOST_BYTES,
    Side,
    naming,
    read_image_size,
    read_label,
    read_name,
    require_once,
)
from tiramisu.data.entry import EntryError, check_color
from tiramisu.data.json_file import read_json, validate


class _Image(TypedDict):
    id: int | str
    file_name: str
    height: Side
    width: Side


class _Category(TypedDict):
    id: int
    name: str
    color: NotRequired[Any]


class _Annotation(TypedDict):
    id: NotRequired[int | str | None]
    image_id: int | str
    category_id: int
    segmentation: NotRequired[Any]
    iscrowd: NotRequired[int | None]


class _Instances(TypedDict):
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Annotation]


class _Rle(TypedDict):
    size: tuple[Side, Side]
    counts: str | list[int]


def read_coco(path: Path) -> Annotations:
    """The annotations of a COCO file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or has something that is no region; the message names it.
    """
    content = read_json(path, most=MOST_BYTES)
    with naming(path):
        found = validate(_Instances, content)
        categories: dict[int, _Category] = {}
        for category in sorted(found["categories"], key=lambda category: category["id"]):
            with naming(f"category {category['id']}"):
                category["name"] = read_label(category["name"])
            if category["id"] in categories:
                raise ValueError(f"category {category['id']} is there twice; remove one")
            categories[category["id"]] = category
        sizes: dict[int | str, tuple[int, int]] = {}
        names: dict[int | str, str] = {}
        for image in found["images"]:
            with naming(f"image {image['id']}"):
                if image["id"] in names:
                    raise ValueError("its id is there twice; remove one")
                name = names[image["id"]] = read_name(image["file_name"])
                size = read_image_size(name, height=image["height"], width=image["width"])
                sizes[image["id"]] = size
        regions: dict[int | str, list[Region]] = {key: [] for key in names}
        for number, annotation in enumerate(found["annotations"]):
            with naming(f"annotation {annotation.get('id', number)}"):
                image_id, category_id = annotation["image_id"], annotation["category_id"]
                if image_id not in names:
                    raise ValueError(f"it belongs to the image {image_id}, which is not there")
                if category_id not in categories:
                    raise ValueError(f"it has the category {category_id}, which is not there")
                with naming(f"{names[image_id]}, {categories[category_id]['name']}"):
                    region = Region(
                        label=categories[category_id]["name"],
                        shape=_read_shape(annotation, sizes[image_id]),
                        is_crowd=bool(annotation.get("iscrowd")),
                    )
            regions[image_id].append(region)
        images = tuple(
            AnnotatedImage(name=name, size=sizes[key], regions=tuple(regions[key]), origin=path)
            for key, name in names.items()
        )
        require_once(images)
        return Annotations(
            title="COCO",
            labels=tuple(dict.fromkeys(category["name"] for category in categories.values())),
            images=images,
            colors=dict(_read_colors(categories.values())),
        )


def _read_colors(categories: Iterable[_Category]) -> Iterator[tuple[str, tuple[int, int, int]]]:
    for category in categories:
        with contextlib.suppress(EntryError):  # tools write other things there, such as #ff0000
            yield category["name"], check_color(category.get("color"))


def _read_shape(annotation: _Annotation, size: tuple[int, int]) -> Shape:
    segmentation = annotation.get("segmentation")
    if not segmentation:
        raise ValueError(
            "a box without a segmentation; expected polygons or run lengths: annotations of "
            "boxes alone do not say which pixels belong to an object"
        )
    if isinstance(segmentation, list):
        rings = validate(list[list[Coordinate]], segmentation)
        if any(len(ring) % 2 for ring in rings):
            raise ValueError("a polygon with an odd count of numbers; expected x, y of each point")
        return Polygons(
            rings=tuple(polygon(list(zip(ring[::2], ring[1::2], strict=True))) for ring in rings)
        )
    rle = validate(_Rle, segmentation)
    if rle["size"] != size:
        raise ValueError(
            f"run lengths of {rle['size'][0]} x {rle['size'][1]} pixels (height x width); its "
            f"image has {size[0]} x {size[1]}"
        )
    given = rle["counts"]
    counts = read_coco_counts(given) if isinstance(given, str) else as_counts(given)
    runs = RunLengths(height=size[0], width=size[1], counts=counts, by_columns=True)
    return Bitmap(left=0, top=0, runs=runs)
