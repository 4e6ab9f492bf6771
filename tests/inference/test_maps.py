import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import Tensor, nn

from tiramisu.atomic import WriteError
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.data.readers.image_file import LIMIT_VARIABLE
from tiramisu.inference import maps as maps_module
from tiramisu.inference.config import PredictConfig
from tiramisu.inference.files import predict_files
from tiramisu.inference.map_file import Scene
from tiramisu.inference.maps import predict_map
from tiramisu.inference.predict import predict

rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed")
affine = pytest.importorskip("affine")
SAMPLES = os.environ.get("TIRAMISU_SAMPLES")
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

MakeModel = Callable[..., SegmentationModel]
UTM = {"crs": "EPSG:32618", "transform": affine.Affine(0.5, 0.1, 4e5, 0.1, -0.5, 5e6)}


def noise(height: int, width: int, bands: int = 3) -> np.ndarray:
    """Random values from 1 on: 0 is no-data."""
    return np.random.default_rng(0).integers(1, 256, (height, width, bands)).astype(np.uint8)


def write_tiff(
    path: Path, image: np.ndarray, *, mask: np.ndarray | None = None, **options: Any
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, bands = image.shape
    size = {"height": height, "width": width, "count": bands, "dtype": image.dtype.name}
    with rasterio.open(path, "w", **{"driver": "GTiff", **size, **options}) as file:
        file.write(np.moveaxis(image, -1, 0))
        if mask is not None:
            file.write_mask(mask)
    return path


def run(model: SegmentationModel, *sources: Path, out: Path, **options: Any) -> list[str]:
    config = PredictConfig(checkpoint="x", out=str(out), **options)
    return sorted(path.name for path in predict_files(model, sources, config=config))


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        mask: np.ndarray = file.read(1)
    return mask


def test_a_map_has_a_mask_in_its_place(channel_model: SegmentationModel, tmp_path: Path) -> None:
    image = noise(50, 70)
    image[5:20, 10:30] = 0
    image[30:35, :, 1] = 0  # of one band only: that is data
    path = write_tiff(tmp_path / "in/a.tif", image, nodata=0, **UTM)
    written = run(channel_model, path, out=tmp_path / "out")
    assert written == ["a.json", "a_mask.tif", "a_overlay.png", "shares.csv"]
    with rasterio.open(path) as source, rasterio.open(tmp_path / "out/a_mask.tif") as mask:
        assert mask.crs == source.crs
        assert mask.transform == source.transform
        assert (mask.height, mask.width, mask.count, mask.dtypes[0]) == (50, 70, 1, "uint8")
        assert mask.nodata == 255
        assert mask.profile["compress"] == "deflate"
        assert mask.profile["tiled"]
        colors = mask.colormap(1)
        assert [colors[i][:3] for i in range(3)] == list(channel_model.info.colors)
        found = mask.read(1)
    expected = predict(channel_model, image).mask.copy()
    no_data = (image == 0).all(axis=2)
    expected[no_data] = 255
    assert (found == expected).all()


def test_json_and_overlay_tell_of_the_pixels_with_data(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:10, :, 0] = image[10:20, :, 2] = 255
    write_tiff(tmp_path / "a.tif", image, nodata=0, **UTM)
    run(channel_model, tmp_path / "a.tif", out=tmp_path / "out")
    described = json.loads((tmp_path / "out/a.json").read_text())
    assert described["crs"] == "EPSG:32618"
    assert (described["width"], described["height"]) == (60, 40)
    assert described["no_data"] == 0.5
    assert described["shares"] == {"sky": 0.5, "wall": 0.0, "road": 0.5}
    assert described["mean_confidence"] > 0.99
    assert described["overlay_scale"] == 1
    overlay = cv2.imread(str(tmp_path / "out/a_overlay.png"))[..., ::-1]
    assert (overlay[20:40, :60] == 0).all(), "no-data is not colored"
    assert (overlay[:20, :60] == predict(channel_model, image).overlay(image)[:20]).all()
    how = {"opacity": 0.2, "unpainted": ["sky"]}
    run(channel_model, tmp_path / "a.tif", out=tmp_path / "out", overwrite=True, **how)
    overlay = cv2.imread(str(tmp_path / "out/a_overlay.png"))[..., ::-1]
    assert (overlay[:10, :60] == (255, 0, 0)).all()
    assert (overlay[10:20, :60] == (0, 0, 242)).all()  # a fifth of road's 192, the rest 255


@pytest.mark.parametrize("image_scale", [1.0, 0.5, 0.37])
@pytest.mark.parametrize("size", [(150, 231), (20, 300), (160, 96)])
def test_windows_give_what_the_whole_image_gives(
    make_model: MakeModel, tmp_path: Path, size: tuple[int, int], image_scale: float
) -> None:
    model, image = make_model(image_scale=image_scale), noise(*size)
    path = write_tiff(tmp_path / "a.tif", image, tiled=True, blockxsize=32, blockysize=16, **UTM)
    summary = predict_map(model, path, mask=tmp_path / "m.tif", preview=tmp_path / "o.png", tile=64)
    expected = predict(model, image, tile=64)
    assert (read(tmp_path / "m.tif") == expected.mask).all()
    assert summary["shares"] == pytest.approx(expected.shares)
    assert summary["mean_confidence"] == pytest.approx(expected.confidence.mean(), abs=1e-5)


def test_a_map_is_shrunk_to_the_size_of_the_model(make_model: MakeModel, tmp_path: Path) -> None:
    model, image = make_model(image_size=(40, 96)), noise(150, 231)
    path = write_tiff(tmp_path / "a.tif", image, **UTM)
    run(model, path, out=tmp_path / "out")
    assert (read(tmp_path / "out/a_mask.tif") == predict(model, image).mask).all()
    small = write_tiff(tmp_path / "small.tif", noise(50, 90), **UTM)
    with pytest.raises(ValueError, match="50x90 pixels, fewer than the 40x96"):
        run(model, small, out=tmp_path / "other")


def test_tta_is_that_of_each_tile(make_model: MakeModel, tmp_path: Path) -> None:
    model, image = make_model(), noise(60, 50)
    path = write_tiff(tmp_path / "a.tif", image, **UTM)
    run(model, path, out=tmp_path / "out", tta=True)
    expected = predict(model, image, tta=True).mask
    assert (read(tmp_path / "out/a_mask.tif") == expected).all()
    assert (expected != predict(model, image).mask).any()


def test_only_a_row_of_tiles_is_read_at_a_time(
    channel_model: SegmentationModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiff(tmp_path / "a.tif", noise(900, 150), **UTM)
    heights = []
    usual = Scene.read

    def read_window(self: Scene, rows: slice, columns: slice) -> np.ndarray:
        heights.append(rows.stop - rows.start)
        return usual(self, rows, columns)

    monkeypatch.setattr(Scene, "read", read_window)
    predict_map(channel_model, path, mask=tmp_path / "m.tif", preview=tmp_path / "o.png", tile=64)
    assert set(heights) == {64}


@pytest.mark.parametrize("place", [UTM, {}])
def test_scenes_may_be_larger_than_images(
    channel_model: SegmentationModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: dict[str, Any],
) -> None:
    image = cv2.resize(noise(11, 12), (1200, 1100), interpolation=cv2.INTER_NEAREST)
    path = write_tiff(tmp_path / "a.tif", image, **place)
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    monkeypatch.setattr(maps_module, "LONGEST_PREVIEW", 300)
    run(channel_model, path, out=tmp_path / "out", polygons="coco")
    assert (read(tmp_path / "out/a_mask.tif") == predict(channel_model, image).mask).all()
    described = json.loads((tmp_path / "out/a.json").read_text())
    assert described["overlay_scale"] == 0.25
    assert Image.open(tmp_path / "out/a_overlay.png").size[0] == 300


def test_small_tiffs_without_a_place_are_images(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    path = write_tiff(tmp_path / "a.tif", noise(40, 40))
    assert "a_mask.png" in run(channel_model, path, out=tmp_path / "out")


def test_a_world_file_is_a_place(channel_model: SegmentationModel, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", noise(40, 40))
    (tmp_path / "a.tfw").write_text("2\n0\n0\n-2\n101\n199\n")
    run(channel_model, path, out=tmp_path / "out")
    with rasterio.open(tmp_path / "out/a_mask.tif") as mask:
        assert mask.transform == affine.Affine(2, 0, 100, 0, -2, 200)


def test_control_points_are_kept(channel_model: SegmentationModel, tmp_path: Path) -> None:
    control = rasterio.control.GroundControlPoint
    points = [control(row=r, col=c, x=10 + c, y=50 - r) for r, c in ((0, 0), (0, 40), (40, 0))]
    path = write_tiff(tmp_path / "a.tif", noise(40, 40), gcps=points, crs="EPSG:4326")
    run(channel_model, path, out=tmp_path / "out")
    with rasterio.open(tmp_path / "out/a_mask.tif") as mask:
        found, crs = mask.gcps
    assert crs.to_epsg() == 4326
    assert [(p.row, p.col, p.x, p.y) for p in found] == [(p.row, p.col, p.x, p.y) for p in points]


def test_masks_and_transparency_are_no_data(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    image = noise(40, 50)
    has_data = np.random.default_rng(1).random((40, 50)) < 0.5
    write_tiff(tmp_path / "a.tif", image, mask=has_data, **UTM)
    with_alpha = np.dstack([image, has_data * np.uint8(255)])
    write_tiff(tmp_path / "b.tif", with_alpha, photometric="RGB", alpha="yes", **UTM)
    run(channel_model, tmp_path / "a.tif", tmp_path / "b.tif", out=tmp_path / "out")
    expected = np.where(has_data, predict(channel_model, image).mask, 255)
    assert (read(tmp_path / "out/a_mask.tif") == expected).all()
    assert (read(tmp_path / "out/b_mask.tif") == expected).all()


def test_a_map_without_data_has_a_mask_without_classes(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    path = write_tiff(tmp_path / "a.tif", image, nodata=0, **UTM)
    run(channel_model, path, out=tmp_path / "out", polygons="geojson")
    assert (read(tmp_path / "out/a_mask.tif") == 255).all()
    described = json.loads((tmp_path / "out/a.json").read_text())
    assert (described["no_data"], described["mean_confidence"]) == (1, None)
    assert json.loads((tmp_path / "out/a.geojson").read_text())["features"] == []


def test_grey_and_palette_maps_are_seen_as_rgb(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    numbers = np.random.default_rng(0).integers(0, 3, (40, 50, 1)).astype(np.uint8)
    palette = np.array([[9, 200, 9], [200, 9, 9], [9, 9, 200]], np.uint8)
    path = write_tiff(tmp_path / "a.tif", numbers, photometric="palette", **UTM)
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, dict(enumerate(map(tuple, palette.tolist()))))
    write_tiff(tmp_path / "b.tif", 80 * numbers, **UTM)
    run(channel_model, path, tmp_path / "b.tif", out=tmp_path / "out")
    colors = palette[numbers[..., 0]]
    assert (read(tmp_path / "out/a_mask.tif") == predict(channel_model, colors).mask).all()
    assert (read(tmp_path / "out/b_mask.tif") == predict(channel_model, 80 * numbers).mask).all()
    overlay = cv2.imread(str(tmp_path / "out/a_overlay.png"))[:40, :50, ::-1]
    assert (overlay == predict(channel_model, colors).overlay(colors)).all()


def test_smaller_tiles_when_memory_runs_out(
    make_model: MakeModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Limited(nn.Module):
        seen = 0

        def forward(self, images: Tensor) -> Tensor:
            self.seen += 1
            if self.seen == 3 or images.shape[-1] > 200:  # also in the middle of a scene
                raise torch.OutOfMemoryError("out of memory")
            return 20 * images

    image = noise(400, 300)
    path = write_tiff(tmp_path / "a.tif", image, **UTM)
    run(make_model(Limited()), path, out=tmp_path / "out")
    assert (read(tmp_path / "out/a_mask.tif") == image.argmax(axis=2)).all()
    described = json.loads((tmp_path / "out/a.json").read_text())
    assert sum(described["shares"].values()) == pytest.approx(1)
    assert "out of memory" in caplog.text


@pytest.mark.parametrize("polygons", [None, "coco"])
def test_an_interrupt_leaves_nothing_half(
    make_model: MakeModel, tmp_path: Path, polygons: str | None
) -> None:
    class Interrupted(nn.Module):
        seen = 0

        def forward(self, images: Tensor) -> Tensor:
            self.seen += 1
            if self.seen == 3:
                raise KeyboardInterrupt
            return images

    path = write_tiff(tmp_path / "a.tif", noise(400, 300), **UTM)
    rest = "start again with --overwrite" if polygons else "go on with --resume"
    with pytest.raises(KeyboardInterrupt, match=f"0 of 1 inputs are done.*{rest}"):
        run(make_model(Interrupted()), path, out=tmp_path / "out", tile=128, polygons=polygons)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("DatasetWriter.write_colormap", "the reason"),
        ("DatasetReader.checksum", "is the disk full"),
    ],
)
def test_what_cannot_be_written_is_said(
    channel_model: SegmentationModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    message: str,
) -> None:
    path = write_tiff(tmp_path / "a.tif", noise(40, 40), **UTM)

    def fail(*_: object, **__: object) -> None:
        raise rasterio.errors.RasterioIOError("the reason")

    monkeypatch.setattr(f"rasterio.io.{method}", fail)
    with pytest.raises(WriteError, match=rf"cannot write .*a_mask\.tif: .*{message}"):
        run(channel_model, path, out=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_without_rasterio_a_map_is_an_image_with_a_warning(
    channel_model: SegmentationModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = write_tiff(tmp_path / "a.tif", noise(40, 40), **UTM)
    monkeypatch.setitem(sys.modules, "rasterio", None)
    assert "a_mask.png" in run(channel_model, path, out=tmp_path / "out", polygons="geojson")
    assert 'run pip install "tiramisu-seg[geo]"' in caplog.text
    assert str(path) in caplog.text
    assert "crs" not in json.loads((tmp_path / "out/a.geojson").read_text())


def test_maps_that_cannot_be_read_are_named(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    whole = write_tiff(tmp_path / "in/a.tif", noise(300, 200), **UTM)
    (tmp_path / "in/b.tif").write_bytes(whole.read_bytes()[:90_000])
    (tmp_path / "in/c.tif").write_bytes(b"no image")
    write_tiff(tmp_path / "in/d.tif", noise(40, 40, 5), **UTM)
    write_tiff(tmp_path / "in/e.tif", noise(40, 40).astype(np.uint16), **UTM)
    with pytest.raises(ValueError, match="4 of 5 files failed") as caught:
        run(channel_model, tmp_path / "in", out=tmp_path / "out", polygons="coco")
    message = str(caught.value)
    assert "\n" not in message
    assert f"{tmp_path / 'in/b.tif'} is damaged" in message
    assert f"{tmp_path / 'in/c.tif'} is damaged" in message
    assert f"{tmp_path / 'in/d.tif'} has 5 bands; expected 3" in message
    assert f"{tmp_path / 'in/e.tif'} holds values of the type uint16" in message
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "a.json",
        "a_mask.tif",
        "a_overlay.png",
        "annotations.json",
        "shares.csv",
    ]


def test_a_file_of_several_maps_is_refused(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    path = write_tiff(tmp_path / "a.tif", noise(40, 40), **UTM)
    write_tiff(path, noise(40, 40), append_subdataset=True, **UTM)
    with pytest.raises(ValueError, match=r"a\.tif holds 2 pages; expected one image"):
        run(channel_model, path, out=tmp_path / "out")


@pytest.mark.parametrize("tag", [(274, "H", 1, 6, True), "miniswhite"])
def test_a_map_that_gdal_reads_in_another_way_is_refused(
    channel_model: SegmentationModel, tmp_path: Path, tag: object
) -> None:
    path = tmp_path / "a.tif"
    options = (
        {"photometric": "miniswhite"}
        if tag == "miniswhite"
        else {"photometric": "minisblack", "extratags": [tag]}
    )
    tifffile.imwrite(path, noise(40, 50)[..., 0], **options)
    with pytest.raises(ValueError, match=r"a\.tif is turned by its orientation or has 0 as white"):
        predict_map(channel_model, path, mask=tmp_path / "m.tif", preview=tmp_path / "o.png")
    assert not (tmp_path / "m.tif").exists()


def test_uncertainty_is_not_for_maps(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model(nn.Sequential(nn.Dropout(0.5), nn.Conv2d(3, 3, 1)))
    path = write_tiff(tmp_path / "a.tif", noise(40, 40), **UTM)
    with pytest.raises(ValueError, match=r"a\.tif is a map.*--uncertainty is for images only"):
        run(model, path, out=tmp_path / "out", uncertainty=True)
    assert not (tmp_path / "out").exists()


def test_polygons_of_a_map_are_in_its_coordinates(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    features = pytest.importorskip("rasterio.features")
    image = cv2.resize(noise(10, 14), (70, 50), interpolation=cv2.INTER_NEAREST)
    image[10:20, 10:30] = 0
    path = write_tiff(tmp_path / "a.tif", image, nodata=0, **UTM)
    run(channel_model, path, out=tmp_path / "out", polygons="geojson")
    content = json.loads((tmp_path / "out/a.geojson").read_text())
    assert content["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32618"
    shapes = [(f["geometry"], f["properties"]["class_id"]) for f in content["features"]]
    transform = UTM["transform"]
    drawn = features.rasterize(shapes, (50, 70), fill=255, transform=transform, dtype="uint8")
    assert (drawn == read(tmp_path / "out/a_mask.tif")).all()


@pytest.mark.parametrize(
    ("crs", "name"),
    [
        ("EPSG:4326", "urn:ogc:def:crs:OGC:1.3:CRS84"),
        ("EPSG:3857", "urn:ogc:def:crs:EPSG::3857"),
        ("+proj=laea +lat_0=10 +lon_0=7", None),
    ],
)
def test_the_crs_of_polygons_is_named_where_it_has_a_name(
    channel_model: SegmentationModel,
    tmp_path: Path,
    crs: str,
    name: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = write_tiff(tmp_path / "a.tif", noise(40, 40), **{**UTM, "crs": crs})
    run(channel_model, path, out=tmp_path / "out", polygons="geojson")
    content = json.loads((tmp_path / "out/a.geojson").read_text())
    assert content.get("crs", {"properties": {"name": None}})["properties"]["name"] == name
    assert ("has no number" in caplog.text) == (name is None)


@pytest.mark.skipif(SAMPLES is None, reason="TIRAMISU_SAMPLES names no folder of samples")
def test_a_real_map(channel_model: SegmentationModel, tmp_path: Path) -> None:
    path = Path(str(SAMPLES)) / "geotiff/RGB.byte.tif"
    run(channel_model, path, out=tmp_path / "out", tile=256)
    with rasterio.open(path) as source, rasterio.open(tmp_path / "out/RGB.byte_mask.tif") as mask:
        assert mask.crs == source.crs
        assert mask.transform == source.transform
        assert mask.shape == source.shape
        assert ((mask.read(1) == 255) == (source.dataset_mask() == 0)).all()
