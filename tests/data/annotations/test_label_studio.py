from pathlib import Path

import numpy as np
import pytest
from tiny_annotations import brush, pack, write_image, write_json

from tiramisu.data.catalog import load_spec

SIZE = (20, 40)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image(tmp_path / "images" / "a.png", size=SIZE)
    return tmp_path


def result(kind: str, value: dict, **changes) -> dict:
    return {
        "type": kind,
        "value": value,
        "original_width": SIZE[1],
        "original_height": SIZE[0],
        "image_rotation": 0,
        "from_name": "label",
        "to_name": "image",
        **changes,
    }


def rectangle(label: str = "cat", **changes) -> dict:
    box = {"x": 10, "y": 20, "width": 20, "height": 30, "rotation": 0, **changes}
    return result("rectanglelabels", {**box, "rectanglelabels": [label]})


def write(folder: Path, *results, image: str = "/data/upload/1/0a1b2c3d-a.png", **more) -> Path:
    annotations = more.get("annotations", [{"id": 1, "result": list(results)}])
    task = {"id": 7, "data": {"image": image}, "annotations": annotations}
    return write_json(folder / "project.json", [task])


def test_brush_strokes(folder, masks) -> None:
    mask = np.zeros(SIZE, bool)
    mask[3:9, 2:10] = True
    mask[5, 5] = False
    value = {"format": "rle", "rle": pack(brush(mask)), "brushlabels": ["cat"]}
    write(folder, result("brushlabels", value))
    np.testing.assert_array_equal(masks(folder)["a"] == 1, mask)


def test_places_are_percent(folder, masks) -> None:
    write(folder, rectangle())
    mask = masks(folder)["a"]
    expected = np.zeros(SIZE, bool)
    expected[4:11, 4:13] = True
    np.testing.assert_array_equal(mask == 1, expected)
    points = [[10, 20], [30, 20], [30, 50], [10, 50]]
    write(folder, result("polygonlabels", {"points": points, "polygonlabels": ["cat"]}))
    np.testing.assert_array_equal(masks(folder)["a"] == 1, expected)


def test_a_rectangle_is_turned_around_its_first_corner(folder, masks) -> None:
    write(folder, rectangle(x=50, y=20, rotation=90))
    mask = masks(folder)["a"]
    assert (mask[8, 17], mask[8, 23]) == (1, 0)


def test_ellipses(folder, masks) -> None:
    value = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "ellipselabels": ["cat"]}
    write(folder, result("ellipselabels", value))
    assert np.flatnonzero(masks(folder)["a"][10]).tolist() == list(range(12, 29))


@pytest.mark.parametrize(
    "url",
    ["/data/upload/1/a.png", "s3://bucket/x/a.png", "/data/local-files/?d=x%2Fa.png", "a.png"],
)
def test_images_are_found_by_their_name(url, folder, masks) -> None:
    write(folder, rectangle(), image=url)
    assert masks(folder).keys() == {"a"}


def test_labels_are_sorted(folder) -> None:
    write(folder, rectangle("dog"), rectangle("cat"))
    assert load_spec(str(folder)).class_names == ("background", "cat", "dog")


def test_the_annotation_that_is_read(folder, masks) -> None:
    entries = [
        {"result": [rectangle("a")]},
        {"result": [rectangle("b")]},
        {"result": [rectangle("c")], "was_cancelled": True},
    ]
    write(folder, annotations=entries)
    assert load_spec(str(folder)).class_names == ("background", "b")
    entries[0]["ground_truth"] = True
    write(folder, annotations=entries)
    assert load_spec(str(folder)).class_names == ("background", "a")


def test_answers_about_whole_images_are_no_regions(folder, masks) -> None:
    choice = {"type": "choices", "value": {"choices": ["rain"]}}
    write(folder, choice, rectangle())
    assert masks(folder)["a"].max() == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (result("keypointlabels", {"x": 1, "keypointlabels": ["cat"]}), "type keypointlabels"),
        (result("polygonlabels", {"points": [[1, 2]], "polygonlabels": ["c"]}), "of 1 points"),
        (result("polygonlabels", {"points": [[1, "x"]], "polygonlabels": ["c"]}), "0.1: expected"),
        (result("rectanglelabels", {"x": 1}), "0 labels; expected one"),
        (rectangle(x=float("nan")), "x: expected a finite number"),
        (rectangle(x=1e9), "x: expected a number of at most"),
        (rectangle() | {"image_rotation": 90}, "its image is turned"),
        (rectangle() | {"original_width": None}, "original_width"),
        (rectangle() | {"original_width": 10**8}, "its image declares"),
        (result("brushlabels", {"rle": [1, 2], "brushlabels": ["c"]}), "ends too early"),
    ],
)
def test_wrong_regions_are_named(wrong, message, folder) -> None:
    write(folder, wrong)
    with pytest.raises(ValueError, match=rf"project\.json: .*{message}") as error:
        load_spec(str(folder))
    assert len(str(error.value).splitlines()) == 1


def test_another_export_is_named(folder) -> None:
    write_json(folder / "project.json", [{"image": "a.png", "label": [{"original_width": 3}]}])
    with pytest.raises(ValueError, match="export as JSON, not as JSON-MIN"):
        load_spec(str(folder))


@pytest.mark.parametrize("data", [{}, {"image": "/data/upload/"}])
def test_a_task_without_an_image(data, folder) -> None:
    path = write(folder, rectangle())
    write_json(path, [{"id": 7, "data": data, "annotations": [{"result": [rectangle()]}]}])
    with pytest.raises(ValueError, match=r"project\.json: task 7: its (data have no|image '/data)"):
        load_spec(str(folder))
