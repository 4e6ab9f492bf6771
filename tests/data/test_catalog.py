import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_data import random_label, write_pair

from tiramisu.data.catalog import list_datasets, load_spec
from tiramisu.data.checking.check import check_dataset
from tiramisu.data.class_colors import distinct_colors
from tiramisu.data.readers.file_split import find_files
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.spec_parts import FileSplit
from tiramisu.shipped import find_shipped, list_shipped

SEGNET_SPLIT = {  # of the 701 frames, as camvid.sha256 lists them
    split: {
        Path(line.split()[1]).stem
        for line in find_shipped("datasets", "camvid").with_suffix(".sha256").open()
        if line.split()[1].startswith(f"{split}/")
    }
    for split in ("train", "val", "test")
}


@pytest.mark.parametrize("name", list_shipped("datasets"))
def test_every_shipped_file_parses(name: str):
    spec = load_spec(name)
    assert spec.name == name
    assert len(spec.class_names) == len(spec.colors) == spec.num_classes
    assert {"train", "val"} <= set(spec.splits)
    if spec.task == "classification":
        assert spec.labels is None
        return
    assert len(spec.labels.raw) == spec.num_classes
    for row in spec.published:
        assert np.mean(row.class_iou) == pytest.approx(row.mean_iou, abs=0.06)


def test_the_template_is_not_listed():
    assert {"camvid", "streets"} <= set(list_datasets())
    assert "template" not in list_datasets()


def test_camvid():
    spec = load_spec("camvid")
    assert spec.num_classes == 11
    assert spec.class_names[8] == "Car"
    assert spec.colors[8].tolist() == [64, 0, 128]
    assert spec.labels.decode(np.array([[0, 10, 11]], np.uint8)).tolist() == [[0, 10, 255]]
    assert [row.mean_iou for row in spec.published] == [58.9, 65.8, 66.9]
    assert [len(SEGNET_SPLIT[name]) for name in ("train", "val", "test")] == [367, 101, 233]


def test_camvid32_splits_the_same_frames(tmp_path: Path):
    """Every one of the 701 names falls into SegNet's split, and into no other."""
    for name in set().union(*SEGNET_SPLIT.values()):
        for path in (f"701_StillsRaw_full/{name}.png", f"LabeledApproved_full/{name}_L.png"):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).touch()
    spec = load_spec("camvid32")
    for name, frames in SEGNET_SPLIT.items():
        assert {pair.key for pair in files(spec, name, tmp_path).pairs} == frames


def test_camvid32_has_the_classes_of_camvid():
    spec, camvid = load_spec("camvid32"), load_spec("camvid")
    assert spec.class_names == camvid.class_names
    assert np.array_equal(spec.colors, camvid.colors)
    assert sum(map(len, spec.labels.raw)) == 31  # and Void


def test_camvid_holdouts_split_train_by_drive(tmp_path: Path):
    for name in SEGNET_SPLIT["train"]:
        for folder in ("train", "trainannot"):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{name}.png").touch()
    spec = load_spec("camvid")
    sizes = [
        len(files(spec, f"holdout_{drive}_{role}", tmp_path).pairs)
        for drive in ("dusk", "day")
        for role in ("train", "val")
    ]
    assert sizes == [305, 62, 62, 305]


def test_cityscapes_and_voc_layouts(tmp_path: Path):
    for path in (
        "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png",
        "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png",
        "gtFine/train/aachen/aachen_000000_000019_gtFine_color.png",
        *(f"JPEGImages/{name}.jpg" for name in ("2007_000032", "2007_000039", "2007_999999")),
        *(f"SegmentationClass/{name}.png" for name in ("2007_000032", "2007_000039")),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    lists = tmp_path / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000032\n")
    (lists / "val.txt").write_text("2007_000039\n2007_000040\n")

    city = files(load_spec("cityscapes"), "train", tmp_path)
    assert [pair.key for pair in city.pairs] == ["aachen/aachen_000000_000019"]
    assert city.pairs[0].mask.name.endswith("labelIds.png")
    voc = load_spec("voc2012")
    assert [pair.key for pair in files(voc, "train", tmp_path).pairs] == ["2007_000032"]
    assert not files(voc, "train", tmp_path).images_without_mask
    assert files(voc, "val", tmp_path).keys_without_image == ("2007_000040",)
    with pytest.raises(FileNotFoundError, match=r"list of samples .*trainval\.txt"):
        files(voc, "trainval", tmp_path)


def files(spec: DatasetSpec, split: str, root: Path):
    entry = spec.split(split)
    assert isinstance(entry, FileSplit)
    return find_files(entry, root)


def test_patterns_pair_by_what_the_wildcards_match(tmp_path: Path):
    for path in ("a/x1.jpg", "a/x2.png", "a/._x2.png", "b/x1.png", "m/x1_L.png", "m/x2_L.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()

    def find(images: tuple[str, ...], masks: tuple[str, ...]):
        return find_files(FileSplit(images=images, masks=masks), tmp_path)

    assert [p.key for p in find(("a/*.{jpg,png}",), ("m/*_L.png",)).pairs] == ["x1", "x2"]
    assert [p.key for p in find(("a/x[12].jpg",), ("m/x[12]_L.png",)).pairs] == ["1"]
    assert [p.name for p in find(("b/*.png",), ("m/*_L.png",)).masks_without_image] == ["x2_L.png"]
    union = find(("a/*.jpg", "b/*.png"), ("m/*_L.png", "m/*_L.png"))
    assert [p.key for p in union.pairs] == ["a/x1", "b/x1"]  # x1 alone would name two samples
    (tmp_path / "a/x1.png").touch()
    with pytest.raises(ValueError, match="have the same key; remove one"):
        find(("a/*.{jpg,png}",), ("m/*_L.png",))


MISTAKES = [
    ("title: Tiny", "titel: Tiny", r"line 2: titel: unknown key 'titel'; did you mean title\?"),
    ("title: Tiny\n", "", r"line 1: missing: title"),
    ("name: tiny", "name: no", r"line 1: name: expected text, not False; put it in quotes"),
    ("title: Tiny", "name: Tiny", r"line 2: name is given twice \(first in line 1\)"),
    ("name: fruit", "name: tree", r"line 6: classes: the name 'tree' is used already in line 5"),
    ("[255, 0, 0]", "[0, 128, 0]", r"line 6: classes: the color \[0, 128, 0\] is used already"),
    ("[255, 0, 0]", "[256, 0, 0]", r"line 6: classes.color: expected a color \[r, g, b\]"),
    ("[255, 0, 0]", "[255, 0, 0], raw: [1]", r"line 6: classes: the raw value 1 is used already"),
    ("[255, 0, 0]", "[255, 0, 0], raw: 2", r"line 6: classes.raw: expected a list, not 2"),
    ("[255, 0, 0]", "[255, 0, 0], raw: [-1]", r"line 6: .*expected an id from 0 to 65535, not -1"),
    ("splits:", "encoding: rbg\nsplits:", r"line 7: encoding: expected index or rgb, not 'rbg'"),
    (
        "splits:",
        "ignore: [9, 2]\nsplits:",
        r"line 7: ignore: 2 cannot be .* in line 6",
    ),
    ("splits:", "ignore: all\nsplits:", r"line 7: ignore: .* or the word others, not 'all'"),
    ("masks: ", "mask: ", r"line 8: splits.train.mask: unknown key 'mask'; did you mean masks\?"),
    ("train/*.png", "train/a.png", r"line 8: splits.train.images: .* needs a \*"),
    ("train/*.png", "../*.png", r"line 8: .*relative to the root"),
    ("train/*.png", "*/*.png", r"line 8: .*different numbers of wildcards"),
    ('"train/*.png"', '["train/*.png", "b/*.png"]', r"line 8: .*2 patterns for images and 1 for"),
    ("name: tiny", "name: [tiny", r"line 2: not YAML"),
    ("name: tiny", "name: 2024-13-45", r"tiny.yaml: not YAML: month"),
    ("{name: fruit, color: [255, 0, 0]}", "no", r"line 6: classes: expected a name.* in quotes"),
    (
        "title: Tiny",
        "title: Tiny\npublished: [{arch: a, title: b, split: c, class_iou: [.inf], mean_iou: 1, "
        "accuracy: 1}]",
        r"line 3: published.class_iou: expected a number of at most 100",
    ),
    ("name: tiny", "name: tiny\nsource: {homepage: a, licence: b, url: c}", r"belong together"),
    (
        "name: tiny",
        "name: tiny\nsource: {homepage: a, licence: b, url: c, checksums: d}",
        r"line 2: source.checksums: .*d: no such file beside the YAML",
    ),
    (
        "title: Tiny",
        "title: Tiny\npublished: [{arch: a, title: b, split: c, class_iou: ['1'], mean_iou: 1, "
        "accuracy: 1}]",
        r"line 3: published.class_iou: expected a number, not '1'",
    ),
    (
        "title: Tiny",
        "title: Tiny\npublished:",
        r"line 3: published: expected a value, not None; .*remove",
    ),
    ("splits:", "drawn: {height: 9, width: 0}\nsplits:", r"line 7: drawn.width: .*at least 1"),
    ("masks: ", "keys: a, masks: ", r"line 8: splits.train.keys: expected a list, not 'a'"),
    ("train/*.png", "/train/*.png", r"line 8: .*relative to the root"),
    ("splits:", "size: [3, 4]\nsplits:", r"line 7: size: unknown key 'size'; known are"),
    ("root: files", "root: ''", r"line 10: root: expected text, not ''; put it in quotes"),
    ("splits:", "splits: {}\nx:", r"line 8: x: unknown key"),
    ("splits:", "encoding: rgb\nignore: [7]\nsplits:", r"line 8: ignore: expected a color .*not 7"),
    ("train: {", "1: 3\n  train: {", r"line 8: splits.1: expected `key: value` lines, not 3"),
    # The first mistake in the file is named, not that of the first field.
    ("title: Tiny", "published: 3\ntitle: 4", r"line 2: published: expected a list, not 3"),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_a_mistake_is_named_with_its_line(
    edit: Callable[[str, str], Path], old: str, new: str, message: str
):
    path = edit(old, new)
    with pytest.raises(ValueError, match=message) as caught:
        load_spec(str(path))
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("classes", "found"), [("[]", 0), ("[a]", 1), (f"[{', '.join('a' * 255)}]", 255)]
)
def test_the_number_of_classes_is_checked(tmp_path: Path, classes: str, found: int):
    (tmp_path / "a.yaml").write_text(f"name: a\ntitle: A\nclasses: {classes}\nsplits: {{}}\n")
    with pytest.raises(ValueError, match=rf"line 3: classes: expected .* or .*, not {found}"):
        load_spec(str(tmp_path / "a.yaml"))


def test_a_data_set_has_a_split(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("name: a\ntitle: A\nclasses: [a, b]\nsplits: {}\n")
    with pytest.raises(ValueError, match="line 4: splits: no split; a data set needs at least tr"):
        load_spec(str(tmp_path / "a.yaml"))


def test_what_chooses_the_kind_of_splits_is_named_before_them(tmp_path: Path):
    splits = "splits:\n  train: {first_seed: 0, count: 3}\n"
    (tmp_path / "a.yaml").write_text(
        f"name: a\ntitle: A\nclasses: [a, b]\n{splits}drawn: {{height: 9}}\n"
    )
    with pytest.raises(ValueError, match="line 6: drawn: missing: width"):
        load_spec(str(tmp_path / "a.yaml"))


def test_masks_of_colors(edit: Callable[[str, str], Path]):
    path = edit("splits:", "encoding: rgb\nsplits:")
    labels = load_spec(str(path)).labels
    assert labels.raw == ((0x0A141E,), (0x008000,), (0xFF0000,))
    assert labels.ignore == ()  # 255 is an id, and not a color
    edit("color: [255, 0, 0]", "color: [255, 0, 0], raw: [[1, 2, 3], [4, 5, 6]]")
    edit("encoding: rgb", "encoding: rgb\nignore: [[7, 8, 9]]")
    labels = load_spec(str(path)).labels
    assert labels.raw[2] == (0x010203, 0x040506)
    assert labels.ignore == (0x070809,)
    edit(", color: [0, 128, 0]", "")
    with pytest.raises(ValueError, match="line 5: classes: with `encoding: rgb` a class needs a"):
        load_spec(str(path))


def test_a_description_cannot_be_changed(tiny: Path):
    spec = load_spec(str(tiny))
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "other"
    assert spec == load_spec(str(tiny))


def test_an_empty_file_is_named(tmp_path: Path):
    (tmp_path / "empty.yaml").touch()
    with pytest.raises(ValueError, match=r"empty\.yaml is empty; expected .* of a data set"):
        load_spec(str(tmp_path / "empty.yaml"))
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    with pytest.raises(ValueError, match=r"empty\.yaml, line 1: expected `key: value` lines"):
        load_spec(str(tmp_path / "empty.yaml"))


def test_published_figures_must_fit_the_classes(edit: Callable[[str, str], Path]):
    row = "{arch: fc56, title: a, split: val, class_iou: [1, 2], mean_iou: 1, accuracy: 1}"
    path = edit("splits:", f"published:\n  - {row}\nsplits:")
    with pytest.raises(ValueError, match=r"line 8: published.class_iou: 2 figures for 3 classes"):
        load_spec(str(path))


def test_the_default_of_ignore_is_255_unless_a_class_claims_it(edit: Callable[[str, str], Path]):
    assert load_spec(str(edit("splits:", "ignore:\ndrawn:\nsplits:"))).labels.ignore == (255,)
    path = edit("[255, 0, 0]", "[255, 0, 0], raw: [2, 255]")
    assert load_spec(str(path)).labels.ignore == ()


def test_classes_may_be_just_names(edit: Callable[[str, str], Path]):
    spec = load_spec(str(edit("{name: tree, color: [0, 128, 0]}", "tree")))
    assert spec.class_names[1] == "tree"
    assert len(np.unique(spec.colors, axis=0)) == 3


def test_generated_colors_differ():
    colors = distinct_colors(254, taken={(128, 0, 0)})
    assert len({*colors, (128, 0, 0), (0, 0, 0)}) == 256


def test_root(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    spec = load_spec(str(tiny))
    assert spec.find_root(None) == tmp_path / "files"
    assert spec.find_root(tmp_path) == tmp_path
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError,
        match=r"data/camvid: no such.*--data-root DIR.*tiramisu download camvid",
    ):
        load_spec("camvid").find_root(None)
    os.makedirs("data/camvid")
    assert load_spec("camvid").find_root(None) == Path("data/camvid")
    with pytest.raises(ValueError, match=r"--data-root DIR .*www.cityscapes-dataset.com"):
        load_spec("cityscapes").find_root(None)


def test_an_unknown_split_lists_the_known_ones(tiny: Path):
    with pytest.raises(ValueError, match="tiny has no split 'test'; its splits are train, val"):
        load_spec(str(tiny)).split("test")


class TestBareFolder:
    def write(self, folder: Path, labels: list[np.ndarray], **kwargs) -> str:
        for i, label in enumerate(labels):
            split = "val" if i else "train"
            image, mask = (folder / part / split / f"{i}.png" for part in ("images", "masks"))
            write_pair(image, mask, label, seed=i, **kwargs)
        return str(folder)

    def test_the_values_are_the_classes(self, tmp_path: Path):
        label = random_label(0)
        label[0, 5] = 3
        spec = load_spec(self.write(tmp_path, [random_label(1) % 2, label]))
        assert spec.class_names == ("class_0", "class_1", "class_2", "class_3")
        assert spec.labels.decode(np.uint8([[0, 3, 255]])).tolist() == [[0, 3, 255]]
        assert list(spec.splits) == ["train", "val"]
        assert spec.find_root(None) == tmp_path
        assert len(np.unique(spec.colors, axis=0)) == 4

    def test_a_gap_in_the_values_may_be_a_mistake(self, tmp_path: Path):
        label = random_label(0)
        label[0, 5] = 77
        folder = self.write(tmp_path, [random_label(1), label])
        with pytest.raises(ValueError, match=r"0, 1, 2, 77; expected.*without a gap.*classes\.txt"):
            load_spec(folder)

    def test_classes_txt_names_them(self, tmp_path: Path):
        (tmp_path / "classes.txt").write_text("ground\ntree\nfruit\nnest\n\n")
        spec = load_spec(self.write(tmp_path, [random_label(0)]))
        assert spec.class_names == ("ground", "tree", "fruit", "nest")

    def test_a_palette_gives_the_colors(self, tmp_path: Path):
        palette = np.arange(768, dtype=np.uint8).reshape(256, 3)
        spec = load_spec(self.write(tmp_path, [random_label(0)], palette=palette))
        assert spec.colors.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]

    def test_color_masks_are_refused_with_their_colors(self, tmp_path: Path):
        folder = self.write(tmp_path, [np.uint8([[[1, 2, 3], [200, 100, 0]]])])
        with pytest.raises(ValueError, match=r"the colors 1 2 3, 200 100 0\. .*template.yaml"):
            load_spec(folder)

    def test_an_unreadable_mask_is_named(self, tmp_path: Path):
        folder = self.write(tmp_path, [random_label(0)])
        (tmp_path / "masks/train/0.png").write_bytes(b"not an image")
        with pytest.raises(ValueError, match=r"masks/train/0\.png is damaged or is no image"):
            load_spec(folder)

    def test_one_unreadable_mask_is_left_to_the_check_of_all_files(self, tmp_path: Path):
        folder = self.write(tmp_path, [random_label(0), random_label(1), random_label(2)])
        for mask in ("train/0.png", "val/1.png"):
            (tmp_path / "masks" / mask).write_bytes(b"not an image")
        with pytest.raises(ValueError, match=r"(?s)2 problems.*train/0\.png.*val/1\.png"):
            check_dataset(load_spec(folder))

    def test_names_that_are_no_text_in_utf8_are_refused(self, tmp_path: Path):
        (tmp_path / "classes.txt").write_bytes("Bäume\n".encode("latin-1"))
        with pytest.raises(ValueError, match=r"classes\.txt: not text in UTF-8"):
            load_spec(self.write(tmp_path, [random_label(0)]))

    def test_masks_of_void_alone_are_refused(self, tmp_path: Path):
        with pytest.raises(ValueError, match="the masks hold only 255, which is void"):
            load_spec(self.write(tmp_path, [random_label(0) * 0 + 255]))

    @pytest.mark.parametrize(
        ("folder", "name"), [(".hidden", "hidden"), ("x" * 150, "x" * 100), ("a\\b\n", "a_b_")]
    )
    def test_any_folder_gives_a_name_for_files(self, tmp_path: Path, folder: str, name: str):
        assert load_spec(self.write(tmp_path / folder, [random_label(0)])).name == name

    def test_a_name_that_is_given_twice_is_named(self, tmp_path: Path):
        (tmp_path / "classes.txt").write_text("ground\ntree\nfruit\ntree\n")
        with pytest.raises(ValueError, match=r"classes\.txt: .* twice or more: tree"):
            load_spec(self.write(tmp_path, [random_label(0)]))

    def test_another_layout_is_refused(self, tmp_path: Path):
        with pytest.raises(ValueError, match=r"expected .*images/train.*train/CLASS"):
            load_spec(str(tmp_path))
        (tmp_path / "images/train").mkdir(parents=True)
        with pytest.raises(ValueError, match="no images with masks"):
            load_spec(str(tmp_path))
