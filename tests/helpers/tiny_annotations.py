"""The same annotations, written as each labelling tool does."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Shapes = Sequence[tuple[str, Sequence[Sequence[float]]]]
"""Label and corners of polygons, in drawing order."""


def write_image(path: Path, *, size: tuple[int, int] = (24, 32), seed: int = 0) -> None:
    """An image of noise; the size is (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    Image.fromarray(noise).save(path)


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def labelme(name: str, shapes: Sequence[dict[str, Any]], size: tuple[int, int]) -> dict[str, Any]:
    return {
        "version": "5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": name,
        "imageData": None,
        "imageHeight": size[0],
        "imageWidth": size[1],
    }


def polygons(shapes: Shapes) -> list[dict[str, Any]]:
    """LabelMe's shapes."""
    return [
        {"label": label, "points": [list(p) for p in points], "shape_type": "polygon"}
        for label, points in shapes
    ]


def coco(
    images: dict[str, tuple[tuple[int, int], Shapes]], labels: Sequence[str]
) -> dict[str, Any]:
    """COCO's content; the ids of categories have gaps."""
    ids = {label: 10 * number + 3 for number, label in enumerate(labels)}
    annotations = [
        {
            "id": 100 + number,
            "image_id": image_id,
            "category_id": ids[label],
            "segmentation": [[x for point in points for x in point]],
            "iscrowd": 0,
        }
        for image_id, (_, shapes) in enumerate(images.values())
        for number, (label, points) in enumerate(shapes)
    ]
    return {
        "images": [
            {"id": i, "file_name": name, "height": size[0], "width": size[1]}
            for i, (name, (size, _)) in enumerate(images.items())
        ],
        "annotations": annotations,
        "categories": [{"id": ids[label], "name": label} for label in labels],
    }


def cvat(images: dict[str, tuple[tuple[int, int], str]], labels: Sequence[str]) -> str:
    """CVAT's XML; shapes are given as XML."""
    names = "".join(
        f"<label><name>{label}</name><color>#{50 + i:02x}0a0b</color></label>"
        for i, label in enumerate(labels)
    )
    inner = "".join(
        f'<image id="{i}" name="{name}" width="{size[1]}" height="{size[0]}">{shapes}</image>'
        for i, (name, (size, shapes)) in enumerate(images.items())
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>'
        f"<meta><task><labels>{names}</labels></task></meta>{inner}</annotations>"
    )


def cvat_polygons(shapes: Shapes) -> str:
    return "".join(
        f'<polygon label="{label}" z_order="0" '
        f'points="{";".join(f"{x!r},{y!r}" for x, y in points)}"></polygon>'
        for label, points in shapes
    )


def pack(values: list[int], *, word: int = 8, sizes=(3, 4, 8, 16), equal: bool = True) -> list[int]:
    """A stream of Label Studio: runs of equal values, or single ones in blocks."""
    bits = f"{len(values):032b}{word - 1:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    place = 0
    while place < len(values):
        end = place + 1
        while end < len(values) and (not equal or values[end] == values[place]):
            end += 1
        end = min(end, place + 2 ** sizes[3])
        index = next(i for i, size in enumerate(sizes) if end - place - 1 < 2**size)
        bits += f"{int(equal)}{index:02b}{end - place - 1:0{sizes[index]}b}"
        shown = values[place : place + 1] if equal else values[place:end]
        bits += "".join(f"{value:0{word}b}" for value in shown)
        place = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def brush(mask: np.ndarray) -> list[int]:
    """The four channels of a stroke."""
    channels = np.zeros((*mask.shape, 4), int)
    channels[mask] = (255, 0, 0, 255)
    return channels.ravel().tolist()
