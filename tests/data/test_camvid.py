"""On the real frames, which are not part of the project: TIRAMISU_CAMVID=DIR pytest."""

import os

import numpy as np
import pytest

from tiramisu.data.catalog import load_spec
from tiramisu.data.checking.check import check_dataset
from tiramisu.data.dataset import ImageDataset

ROOT = os.environ.get("TIRAMISU_CAMVID")
pytestmark = pytest.mark.skipif(ROOT is None, reason="TIRAMISU_CAMVID names no folder of CamVid")

SHARES = {  # of all pixels; void last
    "train": "1685 2326 0098 3166 0449 0972 0117 0113 0587 0064 0029 0395",
    "val": "0918 2596 0056 2895 0872 1634 0089 0308 0175 0065 0222 0170",
}


def test_counts_and_shares():
    report = check_dataset(load_spec("camvid"), root=ROOT, splits=["train", "val"])
    assert [split.num_samples for split in report.splits] == [367, 101]
    for split in report.splits:
        assert split.sizes == ((360, 480),)
        shares = [*split.class_shares, split.void_share]
        assert np.allclose(shares, [int(s) / 1e4 for s in SHARES[split.name].split()], atol=6e-5)
    assert report.warnings == ()
    assert report.alerts == ()
    assert {finding.title for finding in report.findings} == {
        "near-duplicates within a split",  # where the car stands
        "brightness of the splits",  # val has no frame from the dusk
        "rare classes",
    }
    train = report.splits[0]
    sides = dict(zip(report.class_names, train.object_sides, strict=True))
    assert sides["Pole"] < 30 < sides["Car"] < 150 < sides["Road"]
    assert train.class_images[0] == 366
    assert train.void_images == 367
    assert 0.004 < train.isolated_shares[2] < 0.01  # of poles, which are thin


def test_holdouts():
    spec = load_spec("camvid")
    names = [f"holdout_{drive}_{role}" for drive in ("dusk", "day") for role in ("train", "val")]
    sizes = [len(ImageDataset(spec, name, root=ROOT)) for name in names]
    assert sizes == [305, 62, 62, 305]
