"""Real annotations, and the masks that LabelMe's own converter made from them."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_annotations import coco, cvat, cvat_polygons, write_json

SAMPLES = Path(os.environ.get("TIRAMISU_SAMPLES", ""), "labelme")

pytestmark = pytest.mark.skipif(
    "TIRAMISU_SAMPLES" not in os.environ or not SAMPLES.is_dir(),
    reason="TIRAMISU_SAMPLES is not set to the folder of the samples",
)


def expected(name: str) -> np.ndarray:
    return np.asarray(Image.open(SAMPLES / "expected" / f"{name}.png"))


def check_equal(found: dict[str, np.ndarray]) -> None:
    assert len(found) == 3
    for name, mask in found.items():
        np.testing.assert_array_equal(mask, expected(name), err_msg=name)


@pytest.fixture
def shapes() -> dict[str, tuple[tuple[int, int], list]]:
    found = {}
    for path in sorted(SAMPLES.glob("*.json")):
        file = json.loads(path.read_text())
        size = file["imageHeight"], file["imageWidth"]
        found[file["imagePath"]] = size, [(s["label"], s["points"]) for s in file["shapes"]]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The images and the list of the labels."""
    for path in [*SAMPLES.glob("*.jpg"), SAMPLES / "labels.txt"]:
        shutil.copy(path, tmp_path)
    return tmp_path


def labels() -> list[str]:
    return (SAMPLES / "labels.txt").read_text().split("\n")


def test_labelme_masks_equal_those_of_its_own_converter(masks) -> None:
    check_equal(masks(SAMPLES))


def test_the_same_annotations_as_coco(masks, shapes, folder) -> None:
    write_json(folder / "instances.json", coco(shapes, labels()))
    check_equal(masks(folder))


def test_the_same_annotations_as_cvat(masks, shapes, folder) -> None:
    images = {name: (size, cvat_polygons(inside)) for name, (size, inside) in shapes.items()}
    (folder / "annotations.xml").write_text(cvat(images, labels()))
    check_equal(masks(folder))
