import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_annotations import labelme, polygons, write_image, write_json

from tiramisu.data.catalog import load_spec

SIZE = (24, 32)
SQUARE = [(2, 3), (9, 3), (9, 8), (2, 8)]


def png(mask: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def write(folder: Path, *shapes, **changes) -> Path:
    return write_json(folder / "a.json", {**labelme("a.png", shapes, SIZE), **changes})


def shape(kind: str, points, label: str = "disc", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


def box(top, left, bottom, right) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[top : bottom + 1, left : right + 1] = 1
    return mask


@pytest.mark.parametrize("points", [[(2, 3), (9, 8)], [(9, 8), (2, 3)], [(9, 3), (2, 8)]])
def test_rectangles_from_any_corner(points, image, masks) -> None:
    write(image, shape("rectangle", points))
    np.testing.assert_array_equal(masks(image)["a"], box(3, 2, 8, 9))


@pytest.mark.parametrize("kind", ["polygon", None, "oriented_rectangle"])
def test_polygons(kind, image, masks) -> None:
    write(image, shape(kind, SQUARE))
    np.testing.assert_array_equal(masks(image)["a"], box(3, 2, 8, 9))


def test_circles_have_a_center_and_a_point_on_the_border(image, masks) -> None:
    write(image, shape("circle", [(12, 10), (12, 14)]))
    mask = masks(image)["a"]
    assert np.flatnonzero(mask[10]).tolist() == list(range(8, 17))
    assert np.flatnonzero(mask[:, 12]).tolist() == list(range(6, 15))


def test_points_have_a_radius_of_5_pixels(image, masks) -> None:
    write(image, shape("point", [(12, 10)]))
    assert np.flatnonzero(masks(image)["a"][10]).tolist() == list(range(7, 18))


@pytest.mark.parametrize("kind", ["line", "linestrip"])
def test_lines_are_10_pixels_wide(kind, image, masks) -> None:
    write(image, shape(kind, [(2, 12), (20, 12)]))
    assert int(masks(image)["a"][:, 10].sum()) == 10


def test_masks_keep_their_holes(image, masks) -> None:
    mask = np.ones((5, 7), bool)
    mask[2, 3] = False
    write(image, shape("mask", [(4, 6), (10, 10)], mask=png(mask)))
    found = masks(image)["a"]
    np.testing.assert_array_equal(found[6:11, 4:11], mask)
    assert found.sum() == mask.sum()


def test_later_shapes_lie_on_top_and_background_cuts_holes(image, masks) -> None:
    inner = [(4, 5), (6, 5), (6, 6), (4, 6)]
    shapes = polygons([("b", SQUARE), ("_background_", inner)])
    write(image, *shapes)
    mask = masks(image)["a"]
    assert (mask[5, 5], mask[3, 2], mask[0, 0]) == (0, 1, 0)


@pytest.mark.parametrize("label", ["__ignore__", "ignore", "Void"])
def test_ignore_labels_are_void_and_no_class(label, image, masks) -> None:
    write(image, *polygons([("b", SQUARE), (label, SQUARE[:3])]))
    spec = load_spec(str(image))
    assert spec.class_names == ("_background_", "b")
    assert masks(image)["a"][4, 8] == 255
    assert any(f"the label {label} is void" in note for note in spec.notes)


def test_labels_txt_gives_the_order_and_classes_without_a_pixel(image, masks) -> None:
    (image / "labels.txt").write_text("\ufeff__ignore__\n_background_\nz\nb\n")
    write(image, *polygons([("b", SQUARE)]))
    assert load_spec(str(image)).class_names == ("_background_", "z", "b")
    assert masks(image)["a"].max() == 2


def test_a_label_that_is_not_listed(image, masks) -> None:
    (image / "labels.txt").write_text("_background_\nbird\n")
    write(image, *polygons([("birds", SQUARE)]))
    with pytest.raises(ValueError, match="the label birds is no class; did you mean bird"):
        masks(image)


def test_outside_is_void_if_asked_for(image, masks) -> None:
    write(image, *polygons([("b", SQUARE), ("c", SQUARE[:3])]))
    mask = masks(image, unlabelled="void")["a"]
    assert load_spec(str(image)).class_names == ("_background_", "b", "c")
    assert (mask[0, 0], mask[7, 2]) == (255, 0)


@pytest.mark.parametrize("empty", [True, False])
def test_images_without_annotation_need_a_flag(empty, image, masks) -> None:
    write(image, *polygons([("b", SQUARE)]))
    write_image(image / "c.png", size=(10, 12))
    if empty:
        write_json(image / "c.json", labelme("c.png", [], (10, 12)))
    with pytest.raises(ValueError, match=r"1 image has no annotation \(c.png\); give --unlabelled"):
        masks(image)
    assert set(np.unique(masks(image, unlabelled="background")["c"])) == {0}
    write(image, *polygons([("b", SQUARE), ("d", SQUARE)]))
    void = masks(image, unlabelled="void")["c"]
    assert void.shape == (10, 12)
    assert set(np.unique(void)) == {255}


def test_an_image_is_found_by_the_name_of_its_file_alone(image, masks) -> None:
    write(image, *polygons([("b", SQUARE)]), imagePath="..\\other\\a.png")
    assert masks(image).keys() == {"a"}
    write(image, *polygons([("b", SQUARE)]), imagePath="renamed.png")
    assert masks(image).keys() == {"a"}


def test_an_image_of_two_files(image, masks) -> None:
    write(image, *polygons([("b", SQUARE)]))
    write_json(image / "b.json", labelme("a.png", [], SIZE))
    with pytest.raises(ValueError, match=r"a.json and .*b.json annotate the same image a.png"):
        masks(image)


def test_a_missing_image(image, masks) -> None:
    write(image, *polygons([("b", SQUARE)]))
    write_json(image / "x.json", labelme("x.png", polygons([("b", SQUARE)]), SIZE))
    with pytest.raises(ValueError, match=r"names, but that are not there \(1, .* is x.png\)"):
        masks(image)


def test_embedded_images_are_only_converted(image, masks) -> None:
    data = base64.b64encode((image / "a.png").read_bytes()).decode()
    write_image(image / "b.png")
    write_json(image / "b.json", labelme("b.png", polygons([("b", SQUARE)]), SIZE))
    (image / "a.png").unlink()
    write(image, *polygons([("b", SQUARE)]), imageData=data)
    with pytest.raises(ValueError, match=r"only inside their JSON .*tiramisu convert SRC DST"):
        masks(image)


def test_splits_in_folders_as_masks(tmp_path, masks) -> None:
    for split in ("train", "val"):
        write_image(tmp_path / "images" / split / "a.png")
        content = labelme("a.png", polygons([(split, SQUARE)]), SIZE)
        write_json(tmp_path / "masks" / split / "a.json", content)
    assert load_spec(str(tmp_path)).class_names == ("_background_", "train", "val")
    assert (masks(tmp_path)["a"].max(), masks(tmp_path, "val")["a"].max()) == (1, 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (shape("polygon", SQUARE[:2]), r"shape 0 \(disc\): a polygon of 2 points; expected 3"),
        (shape("circle", SQUARE), r"shape 0 \(disc\): a circle of 4 points; expected 2"),
        (shape("line", SQUARE[:1]), r"a line of 1 points; expected 2 or more"),
        (shape("cuboid", SQUARE), r"a shape of the type cuboid; expected polygon, rectangle"),
        (shape("polygon", [*SQUARE, (1, float("nan"))]), r"points.4.1: expected a finite number"),
        (shape("polygon", [*SQUARE, (1, 1e9)]), r"points.4.1: expected a number of at most"),
        (shape("polygon", [*SQUARE, (1, "x")]), r"points.4.1: expected a number, not 'x'"),
        (shape("polygon", SQUARE, label=" "), r"shape 0 \( \): the label ''; expected printable"),
        (shape("mask", [(0, 0), (3, 3)]), r"it has no mask"),
        (shape("mask", [(0, 0), (3, 3)], mask="&"), r"its mask is no file in base64"),
        (shape("mask", [(0, 0), (3, 3)], mask="AAAA"), r"its mask is no PNG"),
        (
            shape("mask", [(0, 0), (3, 3)], mask=png(np.ones((4, 5), bool))),
            r"its mask has 4 x 5 pixels \(height x width\), its box 4 x 4",
        ),
        ({"points": SQUARE}, r"shapes.0: missing|shapes.0.label: missing"),
    ],
)
def test_wrong_shapes_are_named(wrong, message, image) -> None:
    write(image, wrong)
    with pytest.raises(ValueError, match=r"a\.json: .*" + message) as error:
        load_spec(str(image))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("height", [-1, 0, 10**7])
def test_absurd_sizes(height, image) -> None:
    write(image, *polygons([("b", SQUARE)]), imageHeight=height)
    with pytest.raises(ValueError, match=r"a\.json: .*(expected a number of at least 1|at most)"):
        load_spec(str(image))


def test_a_file_that_is_cut_off(image) -> None:
    path = write(image, *polygons([("b", SQUARE)]))
    path.write_text(path.read_text()[:-5])
    with pytest.raises(ValueError, match=r"a\.json is damaged, not readable as JSON"):
        load_spec(str(image))


def test_the_size_of_the_image_counts_if_the_file_has_none(image, masks) -> None:
    write(image, *polygons([("b", SQUARE)]), imageHeight=None)
    assert masks(image)["a"].shape == SIZE
