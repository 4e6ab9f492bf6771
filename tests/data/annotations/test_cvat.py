from pathlib import Path

import numpy as np
import pytest
from tiny_annotations import cvat, cvat_polygons, write_image

from tiramisu.data.annotations.run_lengths import from_mask
from tiramisu.data.catalog import load_spec

SIZE = (24, 32)
LABELS = ("cat", "dog")
SQUARE = [(2.0, 3.0), (9.0, 3.0), (9.0, 8.0), (2.0, 8.0)]


def write(folder: Path, shapes: str, **images) -> Path:
    path = folder / "annotations.xml"
    path.write_text(cvat({"a.png": (SIZE, shapes), **images}, LABELS))
    return path


def test_labels_and_colors_of_meta(image, masks) -> None:
    write(image, cvat_polygons([("dog", SQUARE)]))
    spec = load_spec(str(image))
    assert spec.class_names == ("background", "cat", "dog")
    assert spec.classes[2].color == (51, 10, 11)
    mask = masks(image)["a"]
    assert (mask[3, 2], mask[8, 9], mask[2, 2]) == (2, 2, 0)


def test_z_order_counts_before_the_order_of_the_file(image, masks) -> None:
    first = cvat_polygons([("cat", SQUARE)]).replace('z_order="0"', 'z_order="1"')
    write(image, first + cvat_polygons([("dog", SQUARE)]))
    assert masks(image)["a"][5, 5] == 1


def test_boxes(image, masks) -> None:
    box = '<box label="cat" xtl="2.0" ytl="3.0" xbr="9.0" ybr="8.0"></box>'
    write(image, box)
    mask = masks(image)["a"]
    expected = np.zeros(SIZE, bool)
    expected[3:9, 2:10] = True
    np.testing.assert_array_equal(mask == 1, expected)
    write(image, box.replace("<box", '<box rotation="90"'))
    turned = masks(image)["a"]
    assert turned.sum() == pytest.approx(mask.sum(), rel=0.1)
    assert (turned[2, 5], turned[5, 2]) == (1, 0)


def test_a_turned_box_turns_clockwise(image, masks) -> None:
    write(image, '<box label="cat" xtl="4" ytl="10" xbr="24" ybr="12" rotation="30"></box>')
    mask = masks(image)["a"]
    assert mask[14, 20] == 1
    assert mask[7, 20] == 0


def test_ellipses(image, masks) -> None:
    ellipse = '<ellipse label="cat" cx="14" cy="12" rx="8" ry="3"></ellipse>'
    write(image, ellipse)
    mask = masks(image)["a"]
    assert np.flatnonzero(mask[12]).tolist() == list(range(6, 23))
    assert np.flatnonzero(mask[:, 14]).tolist() == list(range(9, 16))
    write(image, ellipse.replace("<ellipse", '<ellipse rotation="90"'))
    assert np.flatnonzero(masks(image)["a"][12]).tolist() == list(range(11, 18))


def test_polylines(image, masks) -> None:
    write(image, '<polyline label="cat" points="2,12;20,12"></polyline>')
    assert int(masks(image)["a"][:, 10].sum()) == 10


def test_masks_keep_their_holes(image, masks) -> None:
    inner = np.ones((5, 7), bool)
    inner[2, 3] = False
    rle = ", ".join(map(str, from_mask(inner).counts.tolist()))
    write(image, f'<mask label="cat" rle="{rle}" left="4" top="6" width="7" height="5"></mask>')
    mask = masks(image)["a"]
    np.testing.assert_array_equal(mask[6:11, 4:11], inner)
    assert mask.sum() == inner.sum()


def test_masks_reach_out_of_the_image(image, masks) -> None:
    write(image, '<mask label="cat" rle="0,35" left="-3" top="22" width="7" height="5"></mask>')
    mask = masks(image)["a"]
    assert mask[22:, :4].all()
    assert mask.sum() == 8


def test_labels_of_whole_images_are_no_shapes(image, masks) -> None:
    write(image, '<tag label="rain"></tag>' + cvat_polygons([("cat", SQUARE)]))
    assert masks(image)["a"].max() == 1


def test_subsets_are_splits(image, masks) -> None:
    path = write(image, cvat_polygons([("cat", SQUARE)]))
    write_image(image / "b.png", seed=1)
    other = cvat({"b.png": (SIZE, cvat_polygons([("dog", SQUARE)]))}, LABELS)
    inner = other[other.index("<image") : other.index("</annotations>")]
    text = path.read_text().replace("</annotations>", inner + "</annotations>")
    text = text.replace('name="a.png"', 'name="a.png" subset="Train"')
    path.write_text(text.replace('name="b.png"', 'name="b.png" subset="Validation"'))
    assert list(load_spec(str(image)).splits) == ["train", "val"]
    assert (list(masks(image)), list(masks(image, "val"))) == (["a"], ["b"])


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ('<polygon label="cat" points="1,2;3,4"/>', "polygon 0 .cat.: a polygon of 2 points"),
        ('<polyline label="cat" points="1,2"/>', "a polyline of 1 points; expected 2"),
        ('<polygon label="cat" points="1,2;3,4;nan,5"/>', "expected a finite number"),
        ('<polygon label="cat" points="1,2;3,4;5"/>', "polygon 0 .cat.: 2"),
        ('<polygon points="1,2;3,4;5,6"/>', "the label ''; expected printable text"),
        ('<polygon label="cow" points="1,2;3,4;5,6"/>', "the label cow, which is not in <meta>"),
        ('<cuboid label="cat"/>', "a shape of the type cuboid; expected polygon, box"),
        ('<box label="cat" xtl="1" ytl="2" xbr="3"/>', "ybr: missing|missing"),
        ('<ellipse label="cat" cx="1" cy="2" rx="-3" ry="1"/>', "rx: expected a number of at"),
        ('<mask label="cat" rle="3" left="0" top="0" width="2" height="2"/>', "do not give 2 x 2"),
        ('<mask label="cat" rle="x" left="0" top="0" width="2" height="2"/>', "mask 0 .cat.: 0"),
        (
            '<mask label="cat" rle="4" left="0" top="0" width="2000000" height="2"/>',
            "declares 2 x 2000000 pixels",
        ),
    ],
)
def test_wrong_shapes_are_named(shapes, message, image) -> None:
    write(image, shapes)
    with pytest.raises(ValueError, match=rf"annotations\.xml: .*({message})") as error:
        load_spec(str(image))
    assert len(str(error.value).splitlines()) == 1


BOMB = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx">]>\n'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<annotations>", BOMB + "<annotations>", "XML with a document type .* is not read"),
        ("</annotations>", "", "not readable as XML"),
        ("</annotations>", "<track/></annotations>", "export the annotations as `CVAT for images"),
        ('name="a.png"', 'name="../a.png"', "a path is relative to its folder"),
        ('name="a.png"', "", "image 0: .*missing"),
        ('width="32"', 'width="0"', "width: expected a number of at least 1"),
        ('width="32"', 'width="10000000"', "a.png declares"),
        ("<name>cat</name>", "", "a label in <meta>: the label ''"),
    ],
)
def test_wrong_files_are_named(old, new, message, image) -> None:
    path = write(image, cvat_polygons([("dog", SQUARE)]))
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=rf"annotations\.xml: .*{message}"):
        load_spec(str(image))


def test_an_xml_file_that_is_no_annotation(tmp_path) -> None:
    (tmp_path / "a.xml").write_text("<annotation><object/></annotation>")
    with pytest.raises(ValueError, match=r"a\.xml: no annotations that are read; expected COCO"):
        load_spec(str(tmp_path / "a.xml"))
