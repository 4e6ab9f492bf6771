import csv
import json
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.inference.config import PredictConfig
from tiramisu.inference.files import predict_files
from tiramisu.inference.predict import predict


def write_image(path: Path, *, height: int = 40, width: int = 60) -> np.ndarray:
    """The upper half is red (class 0), the lower half blue (class 2)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, :, 0] = 255
    image[height // 2 :, :, 2] = 255
    cv2.imwrite(str(path), image[..., ::-1])
    return image


def run(model: SegmentationModel, *sources: Path, out: Path, overwrite: bool = False) -> list[str]:
    config = PredictConfig(checkpoint="x", out=str(out), overwrite=overwrite)
    written = predict_files(model, sources, config=config)
    assert all(path.parent == out and path.is_file() for path in written)
    return sorted(path.name for path in written)


def test_writes_mask_overlay_and_json(channel_model: SegmentationModel, tmp_path: Path) -> None:
    image = write_image(tmp_path / "in/a.png")
    out = tmp_path / "deep/out"
    assert run(channel_model, tmp_path / "in", out=out) == [
        *("a.json", "a_mask.png", "a_overlay.png", "shares.csv")
    ]

    mask = Image.open(out / "a_mask.png")
    assert mask.mode == "P"
    assert (np.asarray(mask) == predict(channel_model, image).mask).all()
    assert np.asarray(mask.convert("RGB"))[-1, 0].tolist() == list(channel_model.info.colors[2])

    overlay = cv2.imread(str(out / "a_overlay.png"))[..., ::-1]
    blended = predict(channel_model, image).overlay(image)
    assert (overlay[:40, :60] == blended).all()
    assert overlay.shape[0] > 40  # the legend below

    described = json.loads((out / "a.json").read_text())
    assert (described["width"], described["height"]) == (60, 40)
    assert described["shares"] == {"sky": 0.5, "wall": 0.0, "road": 0.5}
    assert described["seconds"] >= 0
    assert described["mean_confidence"] > 0.99
    assert described["input"].endswith("a.png")


def test_inputs_of_one_stem_keep_their_results_apart(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    write_image(tmp_path / "x/a.png", width=40)
    write_image(tmp_path / "y/a.png", width=50)
    run(channel_model, tmp_path / "x", tmp_path / "y", out=tmp_path / "out")
    assert Image.open(tmp_path / "out/x_a_mask.png").size == (40, 40)
    assert Image.open(tmp_path / "out/y_a_mask.png").size == (50, 40)


def test_results_are_replaced_only_when_told(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / f"in/{name}.png")
    out = tmp_path / "out"
    out.mkdir()
    (out / "b_mask.png").write_text("mine")
    with pytest.raises(ValueError, match=r"already holds results: b_mask\.png"):
        run(channel_model, tmp_path / "in", out=out)
    assert [path.name for path in out.iterdir()] == ["b_mask.png"], "refused before any work"
    run(channel_model, tmp_path / "in", out=out, overwrite=True)
    assert Image.open(out / "b_mask.png").size == (60, 40)


def test_inputs_are_never_replaced(channel_model: SegmentationModel, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "a_mask.png")
    files = [tmp_path / "a.png", tmp_path / "a_mask.png"]
    with pytest.raises(ValueError, match="replace the input"):
        run(channel_model, *files, out=tmp_path, overwrite=True)
    with pytest.raises(ValueError, match="both input and output"):
        run(channel_model, tmp_path, out=tmp_path)


def test_a_damaged_image_does_not_stop_the_others(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    write_image(tmp_path / "in/a.png")
    write_image(tmp_path / "in/c.png")
    whole = (tmp_path / "in/a.png").read_bytes()
    (tmp_path / "in/b.png").write_bytes(whole[:20])
    with pytest.raises(ValueError, match=r"1 of 3 files failed.*b\.png is damaged"):
        run(channel_model, tmp_path / "in", out=tmp_path / "out")
    done = sorted(path.name for path in (tmp_path / "out").glob("*.json"))
    assert done == ["a.json", "c.json"]


class Broken(nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise self.error


def test_too_little_memory_is_a_file_that_failed_and_a_bug_is_shown(make_model, tmp_path) -> None:
    write_image(tmp_path / "in/a.png")
    oom = make_model(Broken(torch.OutOfMemoryError("out of memory")))
    with pytest.raises(ValueError, match=r"1 of 1 files failed.*a\.png: out of memory; give a sm"):
        run(oom, tmp_path / "in", out=tmp_path / "out")
    with pytest.raises(RuntimeError, match="a bug"):
        run(make_model(Broken(RuntimeError("a bug"))), tmp_path / "in", out=tmp_path / "out")


def test_a_model_in_training_mode_is_one_error_and_no_work(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    write_image(tmp_path / "in/a.png")
    with pytest.raises(ValueError, match="training mode"):
        run(channel_model.train(), tmp_path / "in", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_results_need_a_folder(channel_model: SegmentationModel, tmp_path: Path) -> None:
    write_image(tmp_path / "in/a.png")
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ValueError, match="cannot write into the folder"):
        run(channel_model, tmp_path / "in", out=tmp_path / "out")


def test_turned_photographs_are_predicted_as_displayed(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    image = Image.fromarray(np.full((40, 60, 3), 200, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    image.save(tmp_path / "a.jpg", exif=exif)
    run(channel_model, tmp_path / "a.jpg", out=tmp_path / "out")
    assert Image.open(tmp_path / "out/a_mask.png").size == (40, 60)


def test_polygons_are_those_of_the_mask(channel_model: SegmentationModel, tmp_path: Path) -> None:
    write_image(tmp_path / "in/a.png")
    out = tmp_path / "out"
    config = PredictConfig(checkpoint="x", out=str(out), polygons="geojson")
    assert out / "a.geojson" in predict_files(channel_model, [tmp_path / "in"], config=config)
    upper, lower = json.loads((out / "a.geojson").read_text())["features"]
    assert upper["properties"] == {"class": "sky", "class_id": 0, "area": 1200}
    assert lower["properties"] == {"class": "road", "class_id": 2, "area": 1200}
    assert lower["geometry"]["coordinates"] == [[[0, 20], [60, 20], [60, 40], [0, 40], [0, 20]]]


def test_one_file_of_annotations_names_all_images(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    write_image(tmp_path / "in/x/a.png", width=40)
    write_image(tmp_path / "in/y/a.png", width=50)
    (tmp_path / "in/y/b.png").write_bytes(b"no image")
    sources, out = [tmp_path / "in/x", tmp_path / "in/y"], tmp_path / "out"
    config = PredictConfig(checkpoint="x", out=str(out), polygons="coco")
    with pytest.raises(ValueError, match="1 of 3 files failed"):
        predict_files(channel_model, sources, config=config)
    content = json.loads((out / "annotations.json").read_text())
    assert [(i["file_name"], i["width"]) for i in content["images"]] == [
        ("x/a.png", 40),
        ("y/a.png", 50),
    ]
    assert [c["name"] for c in content["categories"]] == ["sky", "wall", "road"]
    with pytest.raises(ValueError, match=r"already holds results: x_a_mask.*and 2 more"):
        predict_files(channel_model, sources, config=config)


def test_results_of_one_name_are_refused(channel_model: SegmentationModel, tmp_path: Path) -> None:
    write_image(tmp_path / "in/annotations.png")
    config = PredictConfig(checkpoint="x", out=str(tmp_path / "out"), polygons="coco")
    with pytest.raises(ValueError, match=r"annotations\.json is two results.*rename"):
        predict_files(channel_model, [tmp_path / "in"], config=config)


@pytest.mark.parametrize("polygons", ["coco", "geojson"])
def test_videos_have_no_polygons(
    channel_model: SegmentationModel, tmp_path: Path, polygons: Literal["coco", "geojson"]
) -> None:
    (tmp_path / "a.mp4").touch()
    config = PredictConfig(checkpoint="x", out=str(tmp_path / "out"), polygons=polygons)
    with pytest.raises(ValueError, match=r"a\.mp4 is a video, and --polygons is for images only"):
        predict_files(channel_model, [tmp_path / "a.mp4"], config=config)
    assert not (tmp_path / "out").exists()


def test_shares_of_all_results_are_a_table(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    write_image(tmp_path / "in/a.png")
    write_image(tmp_path / "in/b.png", width=80)
    run(channel_model, tmp_path / "in", out=tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out/shares.csv").read_text().splitlines()))
    assert [(row["width"], row["height"]) for row in rows] == [("60", "40"), ("80", "40")]
    for row, name in zip(rows, "ab", strict=True):
        content = json.loads((tmp_path / f"out/{name}.json").read_text())
        assert row["input"] == content["input"]
        for key, share in content["shares"].items():
            assert float(row[key]) == pytest.approx(share, abs=1e-5)
    write_image(tmp_path / "c.png")
    run(channel_model, tmp_path / "c.png", out=tmp_path / "out")
    assert len((tmp_path / "out/shares.csv").read_text().splitlines()) == 4


def test_a_table_of_another_kind_is_kept(channel_model: SegmentationModel, tmp_path: Path) -> None:
    write_image(tmp_path / "in/a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/shares.csv").write_text("name,price\n")
    with pytest.raises(ValueError, match=r"shares\.csv is no table of an earlier prediction"):
        run(channel_model, tmp_path / "in", out=tmp_path / "out")
    assert (tmp_path / "out/shares.csv").read_text() == "name,price\n"
