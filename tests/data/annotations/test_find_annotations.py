"""Where annotations are found, and how they become a data set."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_annotations import coco, cvat, cvat_polygons, labelme, polygons, write_image, write_json

from tiramisu.data.annotations.find_annotations import find_annotations, split_of
from tiramisu.data.catalog import load_spec
from tiramisu.data.checking.check import check_dataset
from tiramisu.data.config import SourceOptions
from tiramisu.data.readers.pixel_samples import find_samples

SIZE = (24, 32)
SQUARE = [(2.0, 3.0), (9.0, 3.0), (9.0, 8.0), (2.0, 8.0)]


def instances(*names: str) -> dict:
    return coco({name: (SIZE, [("cat", SQUARE)]) for name in names}, ("cat", "dog"))


def write_coco(root: Path, layout: str, *, file: str) -> None:
    """Three images for train and one for val."""
    for split, names in (("train", ("a.png", "b.png", "c.png")), ("val", ("d.png",))):
        for number, name in enumerate(names):
            write_image(root / layout.format(split) / name, seed=number + 10 * len(names))
        write_json(root / file.format(split), instances(*names))


@pytest.mark.parametrize(
    ("layout", "file"),
    [
        ("images/{}", "annotations/instances_{}.json"),
        ("images/{}2017", "annotations/instances_{}2017.json"),
        ("{}2017", "annotations/instances_{}2017.json"),
        ("{}", "{}/_annotations.coco.json"),
        ("images", "{}.json"),
        ("{}/images", "{}/labels.json"),
    ],
)
def test_usual_layouts_of_coco(layout, file, tmp_path, masks) -> None:
    write_coco(tmp_path, layout, file=file)
    spec = load_spec(str(tmp_path))
    assert list(spec.splits) == ["train", "val"]
    assert sorted(masks(tmp_path)) == ["a", "b", "c"]
    assert sorted(masks(tmp_path, "val")) == ["d"]


def test_a_file_alone(tmp_path, masks) -> None:
    write_coco(tmp_path, "images/{}", file="annotations/instances_{}.json")
    file = tmp_path / "annotations" / "instances_train.json"
    assert sorted(masks(file)) == ["a", "b", "c"]


def test_key_points_and_captions_are_left_out(tmp_path) -> None:
    write_coco(tmp_path, "images/{}", file="annotations/instances_{}.json")
    write_json(tmp_path / "annotations" / "person_keypoints_train.json", instances("a.png"))
    write_json(tmp_path / "annotations" / "captions_train.json", {"images": [], "annotations": []})
    assert list(load_spec(str(tmp_path)).splits) == ["train", "val"]


def test_a_folder_with_masks_is_none_of_annotations(tmp_path) -> None:
    for split in ("train", "val"):
        write_image(tmp_path / "images" / split / "a.png")
        (tmp_path / "masks" / split).mkdir(parents=True)
        mask = np.arange(24 * 32, dtype=np.uint8).reshape(SIZE) % 2
        Image.fromarray(mask).save(tmp_path / "masks" / split / "a.png")
    write_json(tmp_path / "annotations" / "instances_train.json", instances("a.png"))
    assert find_annotations(tmp_path) == []
    assert load_spec(str(tmp_path)).num_classes == 2


def test_other_json_files_are_no_annotations(tmp_path) -> None:
    for name, content in {"a": {"images": 3}, "b": [1, 2], "c": {"x": {}}}.items():
        write_json(tmp_path / f"{name}.json", content)
    assert find_annotations(tmp_path) == []


def test_two_files_of_one_split(tmp_path) -> None:
    write_coco(tmp_path, "images", file="{}.json")
    write_json(tmp_path / "train_2.json", instances("a.png"))
    with pytest.raises(ValueError, match="expected one file of annotations for each split"):
        load_spec(str(tmp_path))
    (tmp_path / "train_2.json").rename(tmp_path / "other.json")
    with pytest.raises(ValueError, match=r"other\.json: one of several files of annotations"):
        load_spec(str(tmp_path))


def test_images_that_are_nowhere(tmp_path) -> None:
    write_json(tmp_path / "instances.json", instances("a.png"))
    with pytest.raises(ValueError, match=r"none of its images is found, such as a\.png; looked"):
        load_spec(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("instances_train2017", "train"),
        ("annotations/instances_val.json", "val"),
        ("Validation", "val"),
        ("valid/_annotations.coco.json", "val"),
        ("default", "train"),
        ("constraint", None),
        ("train_val", None),
    ],
)
def test_splits_by_name(name, split) -> None:
    assert split_of(name) == split


def test_a_part_is_set_aside_for_validation(tmp_path) -> None:
    names = [f"{number}.png" for number in range(10)]
    for number, name in enumerate(names):
        write_image(tmp_path / name, seed=number)
    write_json(tmp_path / "instances.json", instances(*names))
    spec = load_spec(str(tmp_path), SourceOptions(val_fraction=0.2))
    found = {
        name: {pair.key for pair in find_samples(spec, name, tmp_path).pairs}
        for name in ("train", "val")
    }
    assert (len(found["train"]), len(found["val"])) == (8, 2)
    assert not found["train"] & found["val"]


def test_two_images_that_differ_by_their_ending(tmp_path, masks) -> None:
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "a.bmp", seed=1)
    write_json(tmp_path / "instances.json", instances("a.png", "a.bmp"))
    assert masks(tmp_path).keys() == {"a.png", "a.bmp"}


def test_a_changed_file_is_read_again(image, masks) -> None:
    path = write_json(image / "instances.json", instances("a.png"))
    assert masks(image)["a"].max() == 1
    content = instances("a.png")
    content["annotations"][0]["category_id"] = content["categories"][1]["id"]
    write_json(path, content | {"info": {}})
    assert masks(image)["a"].max() == 2


def test_samples_go_to_other_processes(image) -> None:
    write_json(image / "instances.json", instances("a.png"))
    pair = find_samples(load_spec(str(image)), "train", image).pairs[0]
    again = pickle.loads(pickle.dumps(pair))
    np.testing.assert_array_equal(again.drawing.draw(), pair.drawing.draw())


def test_the_check_names_an_image_of_another_size(image) -> None:
    content = instances("a.png")
    content["images"][0]["width"] = 33
    write_json(image / "instances.json", content)
    with pytest.raises(ValueError, match=r"differ in size: a\.png \(24 x 32 and 24 x 33\)"):
        check_dataset(load_spec(str(image)))


def test_the_same_annotations_in_all_formats(tmp_path, masks) -> None:
    shapes = [
        ("cat", [(3.7, 2.2), (25.1, 6.9), (8.4, 20.6)]),
        ("dog", [(10.5, 1.0), (30.2, 11.3), (14.8, 22.9), (12.1, 9.9)]),
    ]
    found = {}
    for kind in ("coco", "cvat", "labelme"):
        write_image(tmp_path / kind / "a.png")
        if kind == "coco":
            content = coco({"a.png": (SIZE, shapes)}, ("cat", "dog"))
            write_json(tmp_path / kind / "instances.json", content)
        elif kind == "cvat":
            text = cvat({"a.png": (SIZE, cvat_polygons(shapes))}, ("cat", "dog"))
            (tmp_path / kind / "annotations.xml").write_text(text)
        else:
            content = labelme("a.png", polygons(shapes), SIZE)
            write_json(tmp_path / kind / "a.json", content)
        found[kind] = masks(tmp_path / kind)["a"]
    assert set(np.unique(found["coco"])) == {0, 1, 2}
    np.testing.assert_array_equal(found["cvat"], found["coco"])
    np.testing.assert_array_equal(found["labelme"], found["coco"])


YAML = """
name: pets
title: Pets
root: .
classes: [background, dog, cat]
splits:
  train: {annotations: instances.json, images: images}
"""


def write_yaml(folder: Path, *changes: tuple[str, str]) -> Path:
    write_image(folder / "images" / "a.png")
    write_json(folder / "instances.json", instances("a.png"))
    text = YAML
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "pets.yaml").write_text(text)
    return folder / "pets.yaml"


def test_a_yaml_gives_the_classes(tmp_path, masks) -> None:
    assert masks(write_yaml(tmp_path))["a"].max() == 2


def test_a_yaml_may_ignore_other_labels(tmp_path, masks) -> None:
    change = ("classes: [background, dog, cat]", "classes: [background, dog]\nignore: others")
    assert set(np.unique(masks(write_yaml(tmp_path, change))["a"])) == {0, 255}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("background, dog, cat", "background, dog"), "the label cat is no class"),
        (("background, dog, cat", "cow, dog, cat"), "no class has the name background"),
        (("images: images", "images: nowhere"), "there is no folder of images"),
        (("annotations: instances", "annotations: nowhere"), "there is no file of annotations"),
        (("images: images", "images: ../images"), "splits.train.images: ../images: a path is"),
        (("images: images", "image: images"), "unknown key 'image'; did you mean images"),
        (("images: images", "images: images, part: [1, 0]"), "is no part"),
        (("dog, cat]", "dog, {name: cat, raw: [3]}]"), "names of classes, and no values; remove"),
        (("classes:", "encoding: index\nignore: [3]\nclasses:"), "expected the word others"),
    ],
)
def test_mistakes_in_a_yaml(change, message, tmp_path, masks) -> None:
    path = write_yaml(tmp_path, change)
    with pytest.raises((ValueError, OSError), match=message):
        masks(path)


def test_a_yaml_without_background(tmp_path, masks) -> None:
    change = ("images: images", "images: images, unlabelled: void")
    path = write_yaml(tmp_path, ("background, dog, cat", "dog, cat"), change)
    assert set(np.unique(masks(path)["a"])) == {1, 255}


def test_the_flag_counts_for_a_yaml_too(tmp_path, masks) -> None:
    path = write_yaml(tmp_path, ("background, dog, cat", "dog, cat"))
    assert set(np.unique(masks(path, unlabelled="void")["a"])) == {1, 255}


def test_the_flag_needs_annotations() -> None:
    with pytest.raises(ValueError, match="--unlabelled is void, but streets has no annotations"):
        load_spec("streets", SourceOptions(unlabelled="void"))
