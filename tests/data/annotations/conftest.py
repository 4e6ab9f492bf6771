"""Reads the masks of annotations as a data set does."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_annotations import write_image

from tiramisu.data.catalog import load_spec
from tiramisu.data.config import SourceOptions
from tiramisu.data.readers.open_reader import open_reader


@pytest.fixture
def masks() -> Callable[..., dict[str, np.ndarray]]:
    """The masks of a split by the names of its samples."""

    def read(path: Path, split: str = "train", **options) -> dict[str, np.ndarray]:
        spec = load_spec(str(path), SourceOptions(**options))
        reader = open_reader(spec, split, None)
        return {name: reader.read(i)[1] for i, name in enumerate(reader.names)}

    return read


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A folder with the image a.png, 24 x 32 pixels (height x width)."""
    write_image(tmp_path / "set" / "a.png")
    return tmp_path / "set"
