"""Data without a split val get one: by a seed, with groups, in folds, or from a file."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny_annotations import labelme, polygons, write_image, write_json
from tiny_classes import write_classes
from tiny_data import random_label, write_pair

from tiramisu.data.catalog import load_spec
from tiramisu.data.config import SourceOptions
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.readers.file_split import find_files
from tiramisu.data.spec import DatasetSpec

FIFTH = SourceOptions(val_fraction=0.2)


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    for i in range(10):
        pair = (tmp_path / f"flat/{part}/{i:02d}.png" for part in ("images", "masks"))
        write_pair(*pair, random_label(i), seed=i)
    return tmp_path / "flat"


def names(spec: DatasetSpec, split: str) -> set[str]:
    return set(ImageDataset(spec, split, root=None).names)


def test_the_parts_share_no_sample(flat: Path) -> None:
    spec = load_spec(str(flat), FIFTH)
    assert list(spec.splits) == ["train", "val"]
    train, val = names(spec, "train"), names(spec, "val")
    assert (len(train), len(val)) == (8, 2)
    assert train | val == {f"{i:02d}" for i in range(10)}
    assert (
        "there is no split val: 2 of the 10 samples of train are val (--val-fraction 0.2)"
        in spec.notes
    )


def test_it_does_not_depend_on_the_folder(flat: Path, tmp_path: Path) -> None:
    before = names(load_spec(str(flat), FIFTH), "val")
    moved = flat.rename(tmp_path / "elsewhere")
    assert names(load_spec(str(moved), FIFTH), "val") == before


def test_it_is_the_same_in_another_process_and_in_any_order_of_files(flat: Path) -> None:
    program = """
import random, sys
from pathlib import Path
from tiramisu.data.catalog import load_spec
from tiramisu.data.config import SourceOptions
glob = Path.glob
def shuffled(self, pattern):
    found = list(glob(self, pattern))
    random.shuffle(found)
    return found
Path.glob = shuffled
spec = load_spec(sys.argv[1], SourceOptions(val_fraction=0.3))
print(*spec.record.val)
"""
    command = [sys.executable, "-c", program, str(flat)]
    seen = {
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    record = load_spec(str(flat), SourceOptions(val_fraction=0.3)).record
    assert record is not None
    assert seen == {" ".join(record.val) + "\n"}
    assert len(record.val) == 3


def test_without_a_flag_a_fifth_is_val_for_who_validates_on_val(flat: Path) -> None:
    assert list(load_spec(str(flat), SourceOptions()).splits) == ["train"]
    assert list(load_spec(str(flat), SourceOptions(), val_split="test").splits) == ["train"]
    spec = load_spec(str(flat), SourceOptions(), val_split="val")
    assert (len(names(spec, "train")), len(names(spec, "val"))) == (8, 2)
    assert spec.notes[-1] == (
        "there is no split val: 2 of the 10 samples of train are val; --val-fraction, --split-seed "
        "and --groups change this"
    )


def test_data_with_a_val_split_stay_as_they_are(rectangles: Path) -> None:
    spec = load_spec(str(rectangles), SourceOptions(), val_split="val")
    assert spec.record is None
    assert (len(names(spec, "train")), len(names(spec, "val"))) == (6, 3)


def test_the_seed_of_the_split_gives_other_samples(flat: Path) -> None:
    chosen = [
        frozenset(names(load_spec(str(flat), SourceOptions(split_seed=seed)), "val"))
        for seed in range(8)
    ]
    assert len(set(chosen)) > 3
    assert {len(val) for val in chosen} == {2}
    assert load_spec(str(flat), SourceOptions(split_seed=1)).splits == (
        load_spec(str(flat), FIFTH).splits
    )


def test_data_with_a_val_split_refuse_it(rectangles: Path) -> None:
    for data in ("camvid", str(rectangles)):
        with pytest.raises(
            ValueError, match=r"--val-fraction is given, but .* has a split val: le"
        ):
            load_spec(data, FIFTH)


def test_a_yaml_without_val_takes_it(edit: Callable[[str, str], Path]) -> None:
    path = edit('  val: {images: "val/*.png", masks: "valannot/*.png"}\n', "")
    spec = load_spec(str(path), FIFTH)
    assert len(names(spec, "train")) == 4
    assert len(names(spec, "val")) == 1
    edit("  train:", "  all:")
    with pytest.raises(ValueError, match=r"no split train of files .* its splits are all"):
        load_spec(str(path), FIFTH)


def test_a_part_of_a_part(edit: Callable[[str, str], Path]) -> None:
    path = edit('masks: "trainannot/*.png"', 'masks: "trainannot/*.png", part: [0.2, 1]')
    edit('  val: {images: "val/*.png", masks: "valannot/*.png"}\n', "")
    whole = names(load_spec(str(path)), "train")
    assert len(whole) == 4
    spec = load_spec(str(path), SourceOptions(val_fraction=0.25))
    train, val = names(spec, "train"), names(spec, "val")
    assert train | val == whole
    assert (len(train), len(val)) == (3, 1)


def test_each_class_gives_its_part(tmp_path: Path) -> None:
    write_classes(tmp_path, {"train/cat": 10, "train/dog": 5})
    spec = load_spec(str(tmp_path), FIFTH)
    val = names(spec, "val")
    assert sum(name.startswith("cat/") for name in val) == 2
    assert sum(name.startswith("dog/") for name in val) == 1
    assert not val & names(spec, "train")
    assert len(names(spec, "train")) == 12


def test_folders_of_classes_need_no_train(tmp_path: Path) -> None:
    write_classes(tmp_path, {"cat": 4, "dog": 3})
    spec = load_spec(str(tmp_path))
    assert spec.class_names == ("cat", "dog")
    assert list(spec.splits) == ["train"]
    assert len(names(spec, "train")) == 7
    assert spec.notes == (
        "there are no splits: the sub-folders (cat, dog) are the classes of the split train",
    )
    assert len(names(load_spec(str(tmp_path), FIFTH), "val")) == 2


def test_one_sample_is_too_few(tmp_path: Path) -> None:
    pair = (tmp_path / f"{part}/0.png" for part in ("images", "masks"))
    write_pair(*pair, random_label(0), seed=0)
    with pytest.raises(
        ValueError, match=r"has too few samples in train \(1\) for a split val; expected 2"
    ):
        load_spec(str(tmp_path), FIFTH)


def test_a_file_without_a_partner_is_in_one_part(flat: Path) -> None:
    for i in range(10):
        (flat / f"images/x{i}.png").write_bytes((flat / "images/00.png").read_bytes())
    spec = load_spec(str(flat), FIFTH)
    found = [find_files(spec.split(name), flat) for name in ("train", "val")]  # type: ignore[arg-type]
    alone = [{path.name for path in files.images_without_mask} for files in found]
    assert alone[0] | alone[1] == {f"x{i}.png" for i in range(10)}
    assert not alone[0] & alone[1]


@pytest.mark.parametrize("part", ["0.2", "[0.2]", "[0.5, 0.5]", "[-1, 0.5]", "[0, 20]"])
def test_a_part_is_two_shares(edit: Callable[[str, str], Path], part: str) -> None:
    path = edit('"trainannot/*.png"', f'"trainannot/*.png", part: {part}')
    with pytest.raises(ValueError, match=r"line 8: splits\.train\.part: .*\[0\.2, 1\]"):
        load_spec(str(path))


def write_scene(folder: Path, name: str, label: np.ndarray, *, seed: int) -> None:
    """A smooth image, unlike those of other seeds, and a mask."""
    noise = np.random.default_rng(seed).normal(size=(64, 64, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    for part, values in (("images", 128 + 40 * smooth / smooth.std()), ("masks", label)):
        path = folder / part / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(path)


def label_with(*classes: int) -> np.ndarray:
    label = np.zeros((64, 64), np.uint8)
    for c in classes:
        label[8 * c : 8 * c + 4] = c
    return label


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Five videos of four frames; the class 2 is in three frames, the class 3 in one."""
    folder = tmp_path / "videos"
    for video in range(5):
        for frame in range(4):
            number = 4 * video + frame
            classes = [1] + [2] * (number in (1, 2, 13)) + [3] * (number == 7)
            write_scene(folder, f"v{video}_{frame}", label_with(*classes), seed=number)
    return folder


def test_rare_classes_are_in_both(videos: Path) -> None:
    with_class = {"v0_1", "v0_2", "v3_1"}
    for seed in range(20):
        spec = load_spec(str(videos), SourceOptions(split_seed=seed))
        for split in ("train", "val"):
            assert names(spec, split) & with_class
        assert len(names(spec, "val")) == 4


def test_a_class_in_one_image_is_named(videos: Path) -> None:
    spec = load_spec(str(videos), FIFTH)
    assert spec.notes[-1] == (
        "only one image has class_3: it can be in train or in val, but not in both"
    )
    spec = load_spec(str(videos), SourceOptions(groups="^(v.)_"))
    assert spec.notes[-1].startswith("only one group has class_3")


@pytest.mark.parametrize("pattern", ["^(v[0-9])_", "^v[0-9]", "^v(?:0|1|2|3|4)"])
def test_groups_stay_together(videos: Path, pattern: str) -> None:
    for seed in range(10):
        spec = load_spec(str(videos), SourceOptions(split_seed=seed, groups=pattern))
        train, val = ({name[:2] for name in names(spec, split)} for split in ("train", "val"))
        assert not train & val
        assert len(val) == 1
        assert len(train) == 4
    assert "--groups keeps the samples of each of 5 groups together" in spec.notes


def test_names_without_a_match_are_groups_of_their_own(videos: Path) -> None:
    spec = load_spec(str(videos), SourceOptions(groups="^(v0)"))
    assert any("matches 4 of the 20 names, the others (16) are each a" in n for n in spec.notes)
    assert len({"v0_0", "v0_1", "v0_2", "v0_3"} & names(spec, "val")) in (0, 4)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("^(w)", r"--groups is '\^\(w\)', which matches no sample; their names look like v0_0"),
        ("^(v)", r"--groups is '\^\(v\)', which puts all 20 samples into the group 'v'"),
        ("", "--groups is ''; expected printable text"),
        ("(v", r"--groups is \(v; expected a regular expression such as .* \(missing \)"),
    ],
)
def test_patterns_that_are_of_no_use(videos: Path, pattern: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as error:
        load_spec(str(videos), SourceOptions(groups=pattern))
    assert "\n" not in str(error.value)


def test_near_duplicates_are_kept_together_and_named(videos: Path) -> None:
    for name, other in (("v1_0", "v2_2"), ("v3_0", "v4_1")):
        image = cv2.imread(str(videos / f"images/{name}.png"))
        cv2.imwrite(str(videos / f"images/{other}.png"), np.roll(image, 1, axis=1))
    for seed in range(10):
        spec = load_spec(str(videos), SourceOptions(split_seed=seed))
        for pair in ({"v1_0", "v2_2"}, {"v3_0", "v4_1"}):
            assert pair <= names(spec, "train") or pair <= names(spec, "val")
    assert (
        "2 pairs show nearly the same scene (v1_0 = v2_2, v3_0 = v4_1): they are kept in one split"
        in spec.notes
    )


def test_a_chain_of_near_duplicates_is_no_group(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    drift = cv2.GaussianBlur(rng.normal(size=(64, 200, 3)).astype(np.float32), (0, 0), 3)
    drift = (128 + 40 * drift / drift.std()).clip(0, 255).astype(np.uint8)
    for i in range(12):
        write_scene(tmp_path, f"f{i:02d}", label_with(1), seed=i)
        cv2.imwrite(str(tmp_path / f"images/f{i:02d}.png"), drift[:, i : i + 64])
    spec = load_spec(str(tmp_path), FIFTH)
    assert len(names(spec, "val")) == 2
    assert "so that the scores on val are too good: give a pattern of names" in spec.notes[-1]


def test_copies_of_one_image_are_always_together(tmp_path: Path) -> None:
    for i in range(8):
        write_scene(tmp_path, str(i), label_with(1), seed=i // 4)
    for seed in range(5):
        spec = load_spec(str(tmp_path), SourceOptions(split_seed=seed))
        assert names(spec, "val") in ({"0", "1", "2", "3"}, {"4", "5", "6", "7"})
    for i in range(8):
        write_scene(tmp_path, str(i), label_with(1), seed=0)
    with pytest.raises(
        ValueError, match="8 samples of train are one group that must stay together"
    ):
        load_spec(str(tmp_path), FIFTH)


def test_each_fold_is_val_once(videos: Path) -> None:
    specs = [load_spec(str(videos), SourceOptions(folds=5, fold=fold)) for fold in range(1, 6)]
    folds = [names(spec, "val") for spec in specs]
    assert [len(fold) for fold in folds] == [4] * 5
    assert len(set().union(*folds)) == 20
    for spec, fold in zip(specs, folds, strict=True):
        assert names(spec, "train") == set().union(*folds) - fold
    assert specs[1].notes[-2] == "fold 2 of 5: 4 of the 20 samples of train are val"
    grouped = SourceOptions(folds=2, fold=1, groups="^(v.)")
    assert len({name[:2] for name in names(load_spec(str(videos), grouped), "val")}) in (2, 3)


def test_folds_are_made_of_train_and_val(rectangles: Path) -> None:
    specs = [load_spec(str(rectangles), SourceOptions(folds=3, fold=fold)) for fold in (1, 2, 3)]
    every = {f"train{i}" for i in range(6)} | {f"val{i}" for i in range(3)}
    assert set().union(*(names(spec, "val") for spec in specs)) == every
    assert any("of the 9 samples of train and val are val" in note for note in specs[0].notes)


def test_folds_of_splits_that_cannot_be_joined(edit: Callable[[str, str], Path]) -> None:
    path = edit('masks: "valannot/*.png"', 'masks: "valannot/*.png", keys: ["*"]')
    with pytest.raises(ValueError, match="has a split val that cannot be joined with train"):
        load_spec(str(path), SourceOptions(folds=2, fold=1))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"fold": 1}, "--fold needs --folds"),
        ({"folds": 3, "fold": 4}, "--fold is 4; expected 1 to 3"),
        ({"folds": 3, "val_fraction": 0.2}, "--folds and --val-fraction are two ways"),
        ({"split_file": "x.yaml", "split_seed": 1}, "leave out --split-seed"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        SourceOptions(**options)


def test_folds_need_one_of_them_and_enough_samples(flat: Path) -> None:
    with pytest.raises(ValueError, match=r"--folds 3 needs --fold, .*`tiramisu folds` trains all"):
        load_spec(str(flat), SourceOptions(folds=3))
    with pytest.raises(ValueError, match=r"too few samples in train \(10\) for 11 folds"):
        load_spec(str(flat), SourceOptions(folds=11, fold=1))


def test_a_file_gives_the_same_samples_after_more_came(flat: Path, tmp_path: Path) -> None:
    spec = load_spec(str(flat), FIFTH)
    assert spec.record is not None
    file = tmp_path / "split.yaml"
    file.write_text(spec.record.to_yaml())
    write_pair(flat / "images/new.png", flat / "masks/new.png", random_label(99), seed=99)
    again = load_spec(str(flat), SourceOptions(split_file=str(file)))
    assert again.record == spec.record
    for split in ("train", "val"):
        assert names(again, split) == names(spec, split)
    assert again.notes[-1] == (f"train has 8 samples and val 2, as in {file}; 1 other is left out")
    (flat / f"images/{spec.record.val[0]}.png").unlink()
    (flat / f"masks/{spec.record.val[0]}.png").unlink()
    with pytest.raises(
        ValueError, match=rf"split.yaml: 1 of its 10 samples .*{spec.record.val[0]}"
    ):
        load_spec(str(flat), SourceOptions(split_file=str(file)))


def test_names_that_are_no_text(flat: Path) -> None:
    for part in ("images", "masks"):
        source = os.fsencode(flat / part)
        try:
            os.rename(source + b"/03.png", source + b"/\xff.png")
        except OSError:
            pytest.skip("this system has no names of bytes")
    specs = [load_spec(str(flat), SourceOptions(folds=2, fold=fold)) for fold in (1, 2)]
    assert sorted(len(names(spec, "val")) for spec in specs) == [5, 5]
    assert "\\xff" in names(specs[0], "val") | names(specs[1], "val")
    assert all("\\xff" in (spec.record.to_yaml() if spec.record else "") for spec in specs)


def test_a_yaml_may_name_samples(edit: Callable[[str, str], Path]) -> None:
    path = edit('masks: "trainannot/*.png"', 'masks: "trainannot/*.png", samples: ["1", "3"]')
    assert names(load_spec(str(path)), "train") == {"1", "3"}
    edit('["1", "3"]', '["1", "9"]')
    with pytest.raises(ValueError, match=r"1 of the 2 samples of a split are not there \(9\); put"):
        names(load_spec(str(path)), "train")


def test_classes_of_folders_may_name_samples(tmp_path: Path) -> None:
    write_classes(tmp_path, {"train/cat": 3, "train/dog": 3, "val/cat": 1, "val/dog": 1})
    spec = load_spec(str(tmp_path))
    first, *_, last = ImageDataset(spec, "train", root=None).names
    chosen = {"train": spec.splits["train"].model_copy(update={"samples": (last, first)})}
    assert ImageDataset(spec.model_copy(update={"splits": chosen}), "train", root=None).names == [
        first,
        last,
    ]


def test_annotations_are_split_by_their_images(tmp_path: Path) -> None:
    for i in range(6):
        write_image(tmp_path / f"{i}.png", seed=i)
        shapes = polygons([("box", [(2, 2), (20, 2), (20, 20)])])
        write_json(tmp_path / f"{i}.json", labelme(f"{i}.png", shapes, (24, 32)))
    spec = load_spec(str(tmp_path), SourceOptions(), val_split="val")
    train, val = names(spec, "train"), names(spec, "val")
    assert (len(train), len(val)) == (5, 1)
    assert train | val == {str(i) for i in range(6)}
