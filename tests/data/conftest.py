"""Tiny data sets, written to a temporary folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_data import YAML, random_label, write_pair


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The path of tiny.yaml; its five train and two val samples are in tmp_path/files."""
    for split, first, count in (("train", 0, 5), ("val", 5, 2)):
        for i in range(first, first + count):
            folder = tmp_path / "files"
            write_pair(
                folder / split / f"{i}.png",
                folder / f"{split}annot" / f"{i}.png",
                random_label(i),
                seed=i,
            )
    path = tmp_path / "tiny.yaml"
    path.write_text(YAML + "root: files\n")
    return path


@pytest.fixture
def edit(tiny: Path) -> Callable[[str, str], Path]:
    """Replaces text in tiny.yaml."""

    def edit(old: str, new: str) -> Path:
        text = tiny.read_text()
        assert old in text
        tiny.write_text(text.replace(old, new, 1))
        return tiny

    return edit
