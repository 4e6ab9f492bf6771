"""split.yaml keeps the names of the samples, and damaged ones are refused by their line."""

from pathlib import Path

import pytest

from tiramisu.data.splitting.split_record import SplitRecord, read_record

RECORD = SplitRecord(
    data="set",
    made_of=("train",),
    seed=3,
    groups="^(a+)",
    val_fraction=0.25,
    train=("0001", "1e3", "no", "ä/b", "x: y"),
    val=("null", "'q'", "a b"),
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "split.yaml"
    fold = RECORD.model_copy(update={"val_fraction": None, "groups": None, "folds": 5, "fold": 2})
    for record in (RECORD, fold):
        file.write_text(record.to_yaml(), encoding="utf-8")
        assert read_record(file) == record


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("seed: 3\n", "", "missing: seed"),
        ("- a b\n", "- a b\n- a b\n", "val: a sample is there twice"),
        ("- a b\n", "- no\n", "val: expected text"),
        ("- a b\n", "- x: y\n", "val: expected text"),
        ("- a b\n", "- '0001'\n", r"val: samples are in train too \(0001\)"),
        ("seed: 3", "seed: three", "seed: expected a whole number"),
        ("data: set", "date: set", "unknown key"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    text = RECORD.to_yaml()
    assert old in text
    file = tmp_path / "split.yaml"
    file.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=problem) as error:
        read_record(file)
    assert f"{file}, line " in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_or_foreign_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected the split\.yaml of a run"):
        read_record(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- a\n")
    with pytest.raises(ValueError, match=r"list\.yaml, line 1: expected `key: value` lines"):
        read_record(tmp_path / "list.yaml")
