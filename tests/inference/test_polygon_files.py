import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tiramisu.inference.polygon_files import IN_PIXELS, Place, write_coco, write_geojson

NAMES = ("sky", "wall", "road")
UTM = Place(transform=(0.5, 0, 4e5, 0, -0.5, 5e6), crs="urn:ogc:def:crs:EPSG::32618")
TURNED = Place(transform=(0.3, 0.1, 7.1, 0.1, -0.3, 48.3))
UPSIDE_DOWN = Place(transform=(2.0, 0, 100, 0, 2.0, 200))


def random_mask(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mask = rng.choice(np.array([0, 1, 2, 255], np.uint8), tuple(rng.integers(1, 20, 2)))
    if seed % 2:  # larger regions, with holes and islands
        mask = cv2.resize(mask, None, fx=3, fy=2, interpolation=cv2.INTER_NEAREST)
        mask[rng.random(mask.shape) < 0.1] = 1
    return mask


def geojson(path: Path, mask: np.ndarray, place: Place = IN_PIXELS) -> dict[str, Any]:
    write_geojson(path, np.array_split(mask, 3), class_names=NAMES, place=place)
    return json.loads(path.read_text())


@pytest.mark.parametrize("place", [IN_PIXELS, UTM, TURNED, UPSIDE_DOWN])
@pytest.mark.parametrize("seed", range(25))
def test_geojson_drawn_again_is_the_mask(tmp_path: Path, place: Place, seed: int) -> None:
    features = pytest.importorskip("rasterio.features", reason="rasterio is not installed")
    affine = pytest.importorskip("affine")
    mask = random_mask(seed)
    found = geojson(tmp_path / "a.geojson", mask, place)["features"]
    drawn = np.full(mask.shape, 255, np.uint8)
    transform = affine.Affine(*place.transform)
    for feature in found:
        inside = features.geometry_mask(
            [feature["geometry"]], mask.shape, transform=transform, invert=True
        )
        assert (drawn[inside] == 255).all()
        drawn[inside] = feature["properties"]["class_id"]
        pixels = feature["properties"]["area"] / abs(place.pixel_area)
        assert inside.sum() == pytest.approx(pixels)
    assert (drawn == mask).all()


@pytest.mark.parametrize("place", [IN_PIXELS, UTM, TURNED, UPSIDE_DOWN])
def test_geojson_rings_are_closed_and_turn_as_the_standard_says(
    tmp_path: Path, place: Place
) -> None:
    mask = np.ones((4, 5), np.uint8)
    mask[1:3, 1:3] = 255
    (feature,) = geojson(tmp_path / "a.geojson", mask, place)["features"]
    areas = []
    for ring in feature["geometry"]["coordinates"]:
        assert ring[0] == ring[-1]
        x, y = (np.array(ring) - ring[0]).T
        areas.append((x[:-1] * y[1:] - y[:-1] * x[1:]).sum() / 2)
    size = abs(place.pixel_area)
    assert areas == pytest.approx([20 * size, -4 * size])


def test_geojson_says_class_area_and_coordinates(tmp_path: Path) -> None:
    mask = np.array([[2, 2, 255]], np.uint8)
    content = geojson(tmp_path / "a.geojson", mask)
    assert content["type"] == "FeatureCollection"
    assert "crs" not in content
    (feature,) = content["features"]
    assert feature["properties"] == {"class": "road", "class_id": 2, "area": 2}
    assert feature["geometry"] == {
        "type": "Polygon",
        "coordinates": [[[0, 0], [2, 0], [2, 1], [0, 1], [0, 0]]],
    }
    on_map = geojson(tmp_path / "b.geojson", mask, UTM)
    assert on_map["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32618"
    assert on_map["features"][0]["properties"]["area"] == 0.5
    assert [4e5, 5e6] in on_map["features"][0]["geometry"]["coordinates"][0]
    assert [400001.0, 4999999.5] in on_map["features"][0]["geometry"]["coordinates"][0]


def test_a_mask_without_regions_is_an_empty_collection(tmp_path: Path) -> None:
    assert geojson(tmp_path / "a.geojson", np.full((3, 3), 255, np.uint8))["features"] == []


def test_coco_drawn_again_is_each_mask(tmp_path: Path) -> None:
    coco_module = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    masks = {f"{seed}.png": random_mask(seed) for seed in range(60)}
    path = tmp_path / "annotations.json"
    with write_coco(path, class_names=NAMES) as file:
        for name, mask in masks.items():
            file.add(name, np.array_split(mask, 2), height=mask.shape[0], width=mask.shape[1])
    coco = coco_module.COCO(str(path))
    assert [c["name"] for c in coco.loadCats([1, 2, 3])] == list(NAMES)
    kinds = set()
    for image in coco.loadImgs(coco.getImgIds()):
        mask = masks[image["file_name"]]
        assert (image["height"], image["width"]) == mask.shape
        drawn = np.full(mask.shape, 255, np.uint8)
        for annotation in coco.loadAnns(coco.getAnnIds(image["id"])):
            inside = coco.annToMask(annotation).astype(bool)
            assert inside.sum() == annotation["area"]
            assert (drawn[inside] == 255).all()
            drawn[inside] = annotation["category_id"] - 1
            y, x = np.nonzero(inside)
            width, height = int(np.ptp(x)) + 1, int(np.ptp(y)) + 1
            assert annotation["bbox"] == [x.min(), y.min(), width, height]
            kinds.add(type(annotation["segmentation"]))
        assert (drawn == mask).all()
    assert kinds == {dict, list}


def test_annotations_of_coco_are_numbered_over_all_images(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    with write_coco(path, class_names=NAMES) as file:
        for name in ("a.png", "b.png"):
            file.add(name, [np.array([[0, 1]], np.uint8)], height=1, width=2)
    content = json.loads(path.read_text())
    assert [a["id"] for a in content["annotations"]] == [1, 2, 3, 4]
    assert [a["image_id"] for a in content["annotations"]] == [1, 1, 2, 2]
    assert content["annotations"][1]["segmentation"] == [[1, 0, 2, 0, 2, 1, 1, 1]]


def test_annotations_that_are_not_finished_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), write_coco(tmp_path / "a.json", class_names=NAMES):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
