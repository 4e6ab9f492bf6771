from pathlib import Path

import numpy as np
import pytest
from tiny_annotations import coco, write_image, write_json

from tiramisu.data.annotations.run_lengths import from_mask
from tiramisu.data.catalog import load_spec

SIZE = (24, 32)
SQUARE = [(2, 3), (9, 3), (9, 8), (2, 8)]
LABELS = ("cat", "dog")


def content(*shapes, **images) -> dict:
    return coco({"a.png": (SIZE, shapes), **images}, LABELS)


def write(folder: Path, found: dict) -> Path:
    return write_json(folder / "instances.json", found)


def segment(folder: Path, segmentation, **changes) -> None:
    found = content(("dog", SQUARE))
    found["annotations"][0].update(segmentation=segmentation, **changes)
    write(folder, found)


def test_categories_with_gaps_become_classes_in_order(image, masks) -> None:
    found = content(("dog", SQUARE))
    found["categories"].reverse()
    write(image, found)
    assert load_spec(str(image)).class_names == ("background", "cat", "dog")
    assert masks(image)["a"].max() == 2


def test_objects_are_drawn_in_the_order_of_the_file(image, masks) -> None:
    write(image, content(("cat", SQUARE), ("dog", SQUARE[:3])))
    mask = masks(image)["a"]
    assert (mask[4, 8], mask[7, 3]) == (2, 1)


def test_polygons_of_one_object_are_a_union(image, masks) -> None:
    flat = [x for point in SQUARE for x in point]
    segment(image, [flat, [x + 3 for x in flat]])
    mask = masks(image)["a"]
    assert (mask[3, 2], mask[7, 7], mask[11, 12]) == (2, 2, 2)


@pytest.mark.parametrize("compressed", [True, False])
def test_run_lengths_keep_their_holes(compressed, image, masks) -> None:
    mask = np.zeros(SIZE, bool)
    mask[3:9, 2:10] = True
    mask[5, 5] = False
    if compressed:
        library = pytest.importorskip("pycocotools.mask")
        counts = library.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    else:
        counts = from_mask(mask.T).counts.tolist()
    segment(image, {"size": list(SIZE), "counts": counts})
    np.testing.assert_array_equal(masks(image)["a"] == 2, mask)


def test_crowds_are_void_below_all_objects(image, masks) -> None:
    found = content(("cat", SQUARE[:3]), ("dog", SQUARE))
    found["annotations"][1]["iscrowd"] = 1
    write(image, found)
    mask = masks(image)["a"]
    assert (mask[4, 8], mask[7, 3]) == (1, 255)


def test_images_without_an_object_need_a_flag(image, masks) -> None:
    write_image(image / "b.png")
    write(image, content(("cat", SQUARE), **{"b.png": (SIZE, ())}))
    with pytest.raises(ValueError, match=r"1 image has no annotation \(b.png\)"):
        masks(image)
    assert masks(image, unlabelled="background")["b"].max() == 0


def test_colors_and_names_of_categories(image) -> None:
    found = content(("cat", SQUARE))
    found["categories"][0]["color"] = [1, 2, 3]
    found["categories"][1]["color"] = "#ff0000"
    write(image, found)
    assert [entry.color for entry in load_spec(str(image)).classes] == [None, (1, 2, 3), None]


@pytest.mark.parametrize("label", ["background", "_background_"])
def test_a_category_for_background_is_class_0(label, image, masks) -> None:
    write(image, coco({"a.png": (SIZE, [(label, SQUARE), ("cat", SQUARE[:3])])}, ["cat", label]))
    assert load_spec(str(image)).class_names == (label, "cat")
    assert (masks(image)["a"][7, 3], masks(image)["a"][4, 8]) == (0, 1)


def test_images_that_are_not_in_the_file_are_said_to_be_left_out(image) -> None:
    write_image(image / "other.png")
    write(image, content(("cat", SQUARE)))
    notes = load_spec(str(image)).notes
    assert any("are left out (1, the first is other.png)" in note for note in notes)


FLAT = [x for point in SQUARE for x in point]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "a box without a segmentation; expected polygons or run lengths"),
        ([FLAT[:4]], "a polygon of 2 points; expected 3 or more"),
        ([FLAT[:7]], "a polygon with an odd count of numbers"),
        ([[*FLAT, float("nan"), 1]], "0.8: expected a finite number"),
        ([[*FLAT, 1e12, 1]], "0.8: expected a number of at most"),
        ({"size": [3, 4], "counts": [12]}, "run lengths of 3 x 4 pixels .* its image has 24 x 32"),
        ({"size": list(SIZE), "counts": [12]}, "do not give 24 x 32 pixels"),
        ({"size": list(SIZE), "counts": "\x00"}, "no run lengths in COCO's compressed form"),
        ({"counts": [12]}, "size: missing"),
        ("text", "expected"),
    ],
)
def test_wrong_shapes_are_named(segmentation, message, image) -> None:
    segment(image, segmentation)
    with pytest.raises(
        ValueError, match=f"instances.json: annotation 100: a.png, dog: .*{message}"
    ):
        load_spec(str(image))


def change(path: str, value):
    *keys, last = (int(key) if key.isdigit() else key for key in path.split("."))

    def apply(found: dict) -> None:
        place = found
        for key in keys:
            place = place[key]
        place[last] = value

    return apply


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (change("annotations.0.image_id", 7), "belongs to the image 7, which is not there"),
        (change("annotations.0.category_id", 7), "has the category 7, which is not there"),
        (change("categories.1.id", 3), "category 3 is there twice"),
        (change("categories.1.name", " "), "category 13: the label ''"),
        (change("images.0.file_name", "../a.png"), "image 0: ../a.png: a path is relative"),
        (change("images.0.file_name", "/a.png"), "image 0: /a.png: a path is relative"),
        (change("images.0.file_name", "C:\\a.png"), "a path is relative"),
        (change("images.0.height", 0), "images.0.height: expected a number of at least 1"),
        (change("images.0.width", 10**9), "a.png declares 24 x 1000000000 pixels"),
        (lambda found: found["images"].append({**found["images"][0], "id": 5}), "there twice"),
        (lambda found: found["images"].append(found["images"][0]), "its id is there twice"),
        (lambda found: found.pop("images"), "images: missing|missing"),
    ],
)
def test_wrong_entries_are_named(edit, message, image) -> None:
    found = content(("cat", SQUARE))
    edit(found)
    write(image, found)
    with pytest.raises(ValueError, match=rf"instances\.json: .*({message})"):
        load_spec(str(image))
