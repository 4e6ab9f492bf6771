"""What a training says about its data before it starts."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from photos import Photos

from tiramisu.training.config import TrainConfig
from tiramisu.training.preparing import prepare


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    return Photos(tmp_path / "photos").draw()


def test_only_what_spoils_a_training_is_said(photos: Photos, tmp_path: Path, capsys):
    out = str(tmp_path / "run")
    config = TrainConfig(data=str(photos.root), out=out, crop=(64, 64), accelerator="cpu")
    photos.change("images", "val", lambda image: image // 3 * 2)  # a finding, but no warning
    prepare(config)
    assert "Warning" not in capsys.readouterr().out
    photos.change("masks", "train", lambda label: np.full_like(label, 255), indices=range(2))
    prepare(config)
    [line] = [line for line in capsys.readouterr().out.splitlines() if "Warning" in line]
    assert line.startswith("Warning: train: 2 of 12 masks are void everywhere: images/train/00")
    assert line.endswith("; label these images, or remove them: nothing is learnt from them")
    prepare(dataclasses.replace(config, check_data=False))
    assert "Warning" not in capsys.readouterr().out
