"""Masks that are named in other ways than their images."""

import pytest

from tiramisu.data.description.name_patterns import match_folders, match_one_folder

NUMBERS = ("001", "002", "013")


def patterns(images: str, masks: str, numbers: tuple[str, ...] = NUMBERS) -> tuple[str, str] | None:
    found = match_folders(
        "i", [images.format(n) for n in numbers], "m", [masks.format(n) for n in numbers]
    )
    return (found.images[0], found.masks[0]) if found else None


@pytest.mark.parametrize(
    ("images", "masks", "expected"),
    [
        ("{}.png", "{}.png", ("i/*.png", "m/*.png")),
        ("{}.TIF", "{}.gif", ("i/*.TIF", "m/*.gif")),
        ("{}.jpg", "{}_mask.png", ("i/*.jpg", "m/*_mask.png")),
        ("{}.jpg", "{}-mask.png", ("i/*.jpg", "m/*-mask.png")),
        ("{}.jpg", "mask_{}.png", ("i/*.jpg", "m/mask_*.png")),
        ("{}.jpg", "{}_label.png", ("i/*.jpg", "m/*_label.png")),
        ("a{}.png", "a{}_L.png", ("i/*.png", "m/*_L.png")),
        ("{}.png", "{}_P.png", ("i/*.png", "m/*_P.png")),
        ("{}.jpg", "{}_segmentation.png", ("i/*.jpg", "m/*_segmentation.png")),
        ("img_{}.png", "label_{}.png", ("i/img_*.png", "m/label_*.png")),
        ("img{}.png", "gt{}.png", ("i/img*.png", "m/gt*.png")),
        ("{}_training.tif", "{}_manual1.gif", ("i/*_training.tif", "m/*_manual1.gif")),
        ("{}_a.b.png", "{}_a.b_mask.png", ("i/*.png", "m/*_mask.png")),
        ("{}.png", "x{}y{}.png".replace("{}y", "y"), ("i/*.png", "m/xy*.png")),
    ],
)
def test_the_words_around_a_key_are_found(
    images: str, masks: str, expected: tuple[str, str]
) -> None:
    assert patterns(images, masks) == expected


def test_one_pair_is_enough_if_one_name_is_in_the_other() -> None:
    assert patterns("{}.jpg", "{}_mask.png", ("a",)) == ("i/*.jpg", "m/*_mask.png")
    assert patterns("cat_{}.png", "dog_{}.png", ("1",)) is None  # this may be chance
    assert patterns("{}.png", "other.png") is None


def test_most_pairs_win() -> None:
    images = ["a.png", "b.png", "c.png", "a_mask.png"]
    found = match_folders("i", images, "m", ["a_mask.png", "b_mask.png", "c_mask.png"])
    assert found is not None
    assert found.masks == ("m/*_mask.png",)


def test_several_endings_are_one_pattern() -> None:
    found = match_folders("i", ["a.jpg", "b.png", "c.PNG"], "m", ["a.png", "b.bmp", "c.png"])
    assert found is not None
    assert found.images == ("i/*.{PNG,jpg}",)
    assert found.masks == ("m/*.{bmp,png}",)


def test_names_with_signs_of_patterns_are_left_alone() -> None:
    assert patterns("{}.png", "[x]*{}.png") is None


def test_one_folder_without_masks() -> None:
    assert match_one_folder(".", ["a.png", "b.png"]) is None
    assert match_one_folder(".", ["a.jpg", "b.png"]) is None
    assert match_one_folder(".", ["a.png", "b_mask.png"]) is None
