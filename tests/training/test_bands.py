"""Images of other bands and types all the way: the values in the files reach the network."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_rasters import values, write_set, write_tiff

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import build_image_model
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
from tiramisu.export.formats import export_model
from tiramisu.inference.config import PredictConfig
from tiramisu.inference.exported import load_exported
from tiramisu.inference.files import predict_files
from tiramisu.inference.predict import predict
from tiramisu.training.config import TrainConfig
from tiramisu.training.preparing import prepare
from tiramisu.training.train import train


def settings(root: Path, **options: object) -> TrainConfig:
    usual = {"batch_size": 2, "flip": False, "max_steps": 1, "keep": "last", "num_workers": 0}
    return TrainConfig(**{"data": str(root), "out": str(root.parent / "run"), **usual, **options})


@pytest.mark.parametrize("type", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("bands", [1, 2, 5])
def test_known_values_reach_the_network(tmp_path: Path, type: str, bands: int) -> None:
    write_set(tmp_path / "set", type, bands=bands)
    prepared = prepare(settings(tmp_path / "set", scaling="type", normalize="unit", cache="no"))
    seen: list[torch.Tensor] = []
    network = prepared.task.model.network
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = values(type, bands=bands, height=64, width=64, seed=2)
    low, high = (0, 1) if type == "float32" else (np.iinfo(type).min, np.iinfo(type).max)
    expected = (image.astype(np.float64) - low) / (high - low)
    for dataset, index, seed in ((prepared.data.train_set, 1, 2), (prepared.data.val_set, 0, 3)):
        with torch.no_grad():
            prepared.task.model.eval()(dataset[index]["image"][None])
        image = values(type, bands=bands, height=64, width=64, seed=seed)
        expected = (image.astype(np.float64) - low) / (high - low)
        found = seen.pop()[0].permute(1, 2, 0).numpy()  # (C, H, W) -> (H, W, C)
        assert np.abs(found - expected).max() < 1e-6 * max(1, np.abs(expected).max())
    # Prediction, from the file and from an array.
    for source in (tmp_path / "set/images/val/3.tif", image):
        predict(prepared.task.model.eval(), source)
        found = seen.pop()[0].permute(1, 2, 0).numpy()
        assert np.abs(found - expected).max() < 1e-6 * max(1, np.abs(expected).max())


def test_a_network_for_five_bands_of_16_bits(tmp_path: Path) -> None:
    write_set(tmp_path / "set", "uint16", bands=5)
    config = settings(tmp_path / "set", crop=(32, 32), scale=(0.5, 1.5), color=0.5)
    run = train(config)
    info = run.model.info
    assert info.channels == 5
    assert info.pixel_type == "uint16"
    described = json.loads((run.folder / "model.json").read_text())
    assert described["value_range"] == [list(ends) for ends in info.value_range]
    assert all(0 <= low < 200 and 65_300 < high <= 65_535 for low, high in info.value_range)
    assert info.mean == pytest.approx((0.5,) * 5, abs=0.02)
    assert info.std == pytest.approx((12**-0.5,) * 5, abs=0.02)
    assert (run.folder / "samples.png").is_file()

    evaluate_checkpoint(EvalConfig(checkpoint=str(run.folder), bn="recalibrated"))
    scene = tmp_path / "scene.tif"
    write_tiff(scene, values("uint16", bands=5, height=40, width=50))
    options = {"checkpoint": str(run.folder), "show_bands": [5, 2, 1], "unpainted": []}
    out = tmp_path / "out"
    predict_files(run.model, [scene], config=PredictConfig(**options, out=str(out)))
    assert Image.open(out / "scene_mask.png").size == (50, 40)
    overlay = np.asarray(Image.open(out / "scene_overlay.png"))[:40, :50]
    mask = np.asarray(Image.open(out / "scene_mask.png"))
    colors = np.array(info.colors)[mask]
    shown = 2 * overlay.astype(float) - colors
    picked = values("uint16", bands=5, height=40, width=50)[..., [4, 1, 0]] / 257
    assert np.abs(shown - picked).mean() < 2
    wrong = PredictConfig(checkpoint=str(run.folder), show_bands=[6], out=str(tmp_path / "wrong"))
    with pytest.raises(ValueError, match=r"--show-bands is \[6\]; the model sees 5 bands"):
        predict_files(run.model, [scene], config=wrong)
    write_tiff(scene, values("uint16", bands=4))
    with pytest.raises(ValueError, match=r"scene\.tif has 4 bands; expected 5"):
        predict(run.model, scene)
    write_tiff(scene, values("uint8", bands=5))
    with pytest.raises(ValueError, match=r"scene\.tif holds values of the type uint8; expected ui"):
        predict(run.model, scene)


def test_no_data_is_void_and_does_no_harm(tmp_path: Path) -> None:
    write_set(tmp_path / "set", "float32", bands=2)
    for path in sorted((tmp_path / "set/images").rglob("*.tif")):
        image = values("float32", bands=2, height=64, width=64, seed=int(path.stem))
        image[:20] = -9999
        write_tiff(path, image, extratags=[(42113, "s", 0, "-9999", True)])
    prepared = prepare(settings(tmp_path / "set", scaling="statistics"))
    assert all(abs(end) < 10 for ends in prepared.data.scaling.value_range for end in ends)
    sample = prepared.data.train_set[0]
    assert (sample["label"][:20] == 255).all()
    assert (sample["label"][20:] != 255).all()
    logits = prepared.task.model.eval()(sample["image"][None])
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    ("options", "channels"), [({}, 1), ({"bands": "rgb"}, 3), ({"bands": [1, 1]}, 2)]
)
def test_in_channels_follow_the_bands(tmp_path: Path, options: dict, channels: int) -> None:
    write_set(tmp_path / "set", "uint8", bands=1)
    prepared = prepare(settings(tmp_path / "set", **options))
    assert prepared.task.model.info.channels == channels
    assert prepared.data.train_set[0]["image"].shape == (channels, 64, 64)


def test_padding_is_about_the_mean_of_the_images(tmp_path: Path) -> None:
    write_set(tmp_path / "set", "int16", bands=2, side=40)
    prepared = prepare(settings(tmp_path / "set", crop=(64, 64)))
    sample = prepared.data.train_set[0]
    model = prepared.task.model
    padded = (sample["image"] - model.mean) / model.std
    assert padded[:, sample["label"] == 255].abs().max() < 0.01
    assert (sample["label"] == 255).sum() == 64 * 64 - 40 * 40


@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".pt2"])
def test_an_exported_model_takes_the_values_of_files(tmp_path: Path, suffix: str) -> None:
    info = ModelInfo(
        arch="fc56",
        class_names=("a", "b"),
        colors=((0, 0, 0), (255, 0, 0)),
        pixel_type="float32",
        bands=(4, 2),
        value_range=((-50, 300), (0, 10)),
        mean=(0.4, 0.5),
        std=(0.2, 0.1),
    )
    model = build_image_model(info).eval()
    exported = load_exported(export_model(model, tmp_path / f"model{suffix}"))
    assert exported.info == info
    path = tmp_path / "a.tif"
    image = values("float32", bands=4, height=64, width=64) * 100
    image[:5, :5] = np.nan
    write_tiff(path, image)
    ours, theirs = (predict(m, path) for m in (model, exported))
    assert np.abs(ours.confidence - theirs.confidence).max() < 1e-4


def test_old_descriptions_of_models_are_those_of_rgb_images() -> None:
    info = ModelInfo.from_dict(
        {
            "arch": "fc56",
            "class_names": ["a", "b"],
            "colors": [[0, 0, 0], [255, 0, 0]],
            "mean": [0.4, 0.5, 0.6],
            "std": [0.2, 0.2, 0.3],
        },
        origin="model.json",
    )
    assert info.channels == 3
    assert info.pixel_type == "uint8"
    model = build_image_model(info)
    assert torch.equal(model.mean.flatten(), 255 * torch.tensor([0.4, 0.5, 0.6]))
    assert torch.equal(model.std.flatten(), 255 * torch.tensor([0.2, 0.2, 0.3]))


@pytest.mark.parametrize(
    "changes",
    [
        {"mean": [0.0, 0.0]},
        {"value_range": [[0, 255]] * 2},
        {"value_range": [[5, 5]] * 3},
        {"pixel_type": "int64"},
        {"bands": [0, 1, 2]},
        {"bands": [1, 2], "mean": [0.0, 0.0, 0.0]},
    ],
)
def test_descriptions_that_do_not_fit_are_refused(changes: dict) -> None:
    values = {"arch": "fc56", "class_names": ["a", "b"], "colors": [[0, 0, 0], [255, 0, 0]]}
    with pytest.raises(ValueError, match=next(iter(changes))):
        ModelInfo.from_dict({**values, **changes}, origin="model.json")


def test_weights_start_a_network_for_other_bands(tmp_path: Path) -> None:
    write_set(tmp_path / "set", "uint8", bands=3)
    run = train(settings(tmp_path / "set"))
    write_set(tmp_path / "grey", "uint8", bands=1)
    config = settings(tmp_path / "grey", init_from=str(run.folder), out=str(tmp_path / "new"))
    model = prepare(config).task.model
    colors = load_model(run.folder).network.features.conv0.weight
    assert torch.allclose(model.network.features.conv0.weight, colors.sum(dim=1, keepdim=True))


def test_files_are_predicted_with_the_same_bands_as_in_training(tmp_path: Path) -> None:
    write_set(tmp_path / "set", "uint16", bands=5)
    run = train(settings(tmp_path / "set", bands=[4, 2, 1]))
    assert run.model.info.bands == (4, 2, 1)
    path = tmp_path / "set/images/val/3.tif"
    mask = predict(run.model, path).mask
    seen: list[torch.Tensor] = []
    run.model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    out = tmp_path / "out"
    predict_files(run.model, [path], config=PredictConfig(checkpoint="x", out=str(out)))
    assert np.array_equal(np.asarray(Image.open(out / "3_mask.png")), mask)
    image = values("uint16", bands=5, height=64, width=64, seed=3)[..., [3, 1, 0]]
    expected = (torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1) - run.model.mean) / (
        run.model.std
    )
    assert torch.allclose(seen[0][0], expected, atol=1e-5)


def test_no_data_of_integers_does_not_count_in_statistics(tmp_path: Path) -> None:
    write_set(tmp_path / "set", "uint8", bands=2)
    for path in sorted((tmp_path / "set/images").rglob("*.tif")):
        image = values("uint8", bands=2, height=64, width=64, seed=int(path.stem)).astype(np.int16)
        image[:20] = -32768
        write_tiff(path, image, extratags=[(42113, "s", 0, "-32768", True)])
    prepared = prepare(settings(tmp_path / "set"))
    assert prepared.data.format.pixel_type == "float32"
    assert all(0 <= low < high <= 255 for low, high in prepared.data.scaling.value_range)
    assert prepared.data.train_set[0]["image"][:, :20].isnan().all()


def test_a_resumed_run_keeps_the_scaling_that_it_has_learnt_with(tmp_path: Path) -> None:
    write_set(tmp_path / "set", "uint16", bands=1)
    config = settings(tmp_path / "set", max_steps=None, epochs=1)
    before = train(config).model.info
    for path in sorted((tmp_path / "set/images").rglob("*.tif")):
        image = values("uint16", bands=1, height=64, width=64, seed=int(path.stem))
        write_tiff(path, image // 16)
    resumed = settings(
        tmp_path / "set", max_steps=None, epochs=2, resume=str(tmp_path / "run"), check_data=False
    )
    assert prepare(resumed).task.model.info.value_range == before.value_range


def test_many_bands_go_through(tmp_path: Path) -> None:
    write_set(tmp_path / "set", "uint8", bands=150)
    config = settings(tmp_path / "set", crop=(96, 96), color=1.0, scale=(0.7, 0.8), flip=True)
    data = prepare(config).data
    assert data.train_set[0]["image"].shape == (150, 96, 96)


def test_a_start_with_another_scaling_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(tmp_path / "set", "uint16", bands=3)
    run = train(settings(tmp_path / "set", scaling="type"))
    options = {"init_from": str(run.folder), "out": str(tmp_path / "new")}
    capsys.readouterr()
    prepare(settings(tmp_path / "set", scaling=(0.0, 4095.0), **options))
    assert "scaled differently; set --scaling to match" in capsys.readouterr().out
    prepare(settings(tmp_path / "set", scaling="type", **options))
    assert "differently" not in capsys.readouterr().out
