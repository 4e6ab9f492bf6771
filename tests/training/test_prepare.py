"""Planning a run: everything that can be wrong is found, and nothing is written."""

import shutil
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from PIL import Image
from torch import nn

from tiramisu import free_memory
from tiramisu.data.catalog import load_spec
from tiramisu.inference import whole_images
from tiramisu.summary.meta_run import run_on_meta
from tiramisu.training import checks
from tiramisu.training import train as train_module
from tiramisu.training.config import TrainConfig
from tiramisu.training.loading import RunData
from tiramisu.training.preparing import PreparedRun, prepare
from tiramisu.training.train import fit, train

Quick = Callable[..., TrainConfig]


def files_in(folder: Path) -> dict[Path, tuple[int, int]]:
    """All files and folders, with what changes when they are written."""
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


@pytest.fixture
def refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[TrainConfig, str], None]:
    """Checks that a run is refused with a message, and that it changes no file."""
    monkeypatch.chdir(tmp_path)

    def check(config: TrainConfig, message: str) -> None:
        before = files_in(tmp_path)
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            prepare(config)
        assert files_in(tmp_path) == before

    return check


def test_plan_writes_nothing(quick: Quick, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for config in (quick(), quick(out=None), quick(class_weights="capped", final_epochs=1)):
        prepared = prepare(config)
        assert not prepared.folder.exists()
    assert files_in(tmp_path) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "fp16"}, "fp16 needs a GPU"),
        ({"sync_bn": True}, "needs GPUs"),
        ({"devices": 999}, "--devices is 999; expected at most"),
        ({"num_workers": 256}, "--num-workers is 256; expected at most"),
        ({"num_nodes": 2}, "--num-nodes is 2, but this process was not told where the other"),
        ({"crop": (16384, 16384)}, r"--batch-size 3 with --crop \[16384,16384\] takes \d+ GiB"),
        ({"crop": (32, 32), "batch_size": 65536}, "--batch-size 65536 with --crop"),
        ({"image_scale": 0.4}, "--image-scale is 0.4; expected a larger factor .*26x26 pixels"),
        ({"arch": "fc57"}, "fc57"),
        ({"arch": "densenet121"}, "is for classification"),
        ({"arch": "smp:unet/resnet18", "dropout": 0.1}, r"has no dropout=0\.1"),
        ({"data": "nowhere"}, "nowhere"),
        ({"train_split": "nothing"}, "nothing"),
        ({"val_split": "nothing"}, "nothing"),
        ({"init_from": "nowhere"}, "there is no checkpoint nowhere"),
        ({"init_from": "DenseNet121_Weights.IMAGENET1K_V9"}, "DenseNet121"),
        ({"resume": "nowhere"}, "no run to resume"),
        ({"final_epochs": 1, "image_scale": 0.4}, "sides of 26 pixels"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_refused_settings(quick: Quick, refuses, changes: dict, message: str) -> None:
    refuses(quick(**changes), message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"crop": None},
            r"--batch-size 3 with whole images of 64x64 pixels takes .* for the outputs of all "
            r"convolutions, and 0 GiB are free; give --crop \[64,64\], or shrink the images by "
            r"--image-scale 0\.\d+, or a smaller --batch-size",
        ),
        (
            {"final_epochs": 1, "batch_size": 3},
            r"--batch-size 3 with whole images of 64x64 pixels in the --final-epochs 1 takes .*; "
            r"give --final-epochs 0, or shrink the images by --image-scale 0\.\d+",
        ),
        (
            {"eval_batch_size": 2},
            "--eval-batch-size 2 with images of 64x64 pixels takes .* outputs of a single layer, "
            "and 0 GiB are free; give fewer or smaller images, or a smaller --tile",
        ),
    ],
    ids=["training", "final epochs", "validation"],
)
def test_whole_images_that_do_not_fit_into_memory(
    quick: Quick, refuses, monkeypatch, changes: dict, message: str
) -> None:
    monkeypatch.setattr(whole_images, "SURELY_FITS", 5000)
    monkeypatch.setattr(free_memory, "free_memory", lambda: 10_000)
    refuses(quick(**changes), message)


def test_the_validation_needs_the_memory_of_a_tile(
    rectangles: Path, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[tuple[int, int], int]] = []
    monkeypatch.setattr(
        checks,
        "check_batch",
        lambda _, *, size, batch, **__: found.append((size, batch)),
    )
    monkeypatch.setattr(checks, "_first_size", lambda _: (3000, 4000))
    data = RunData(load_spec(str(rectangles)), quick())
    for tile, expected in (
        (1024, ((1024, 1024), 1)),
        ("auto", ((1024, 1024), 1)),
        (3500, ((3000, 3500), 1)),
        (4000, ((3000, 4000), 2)),
        ("off", ((3000, 4000), 2)),
    ):
        found.clear()
        checks.check_image_size(nn.Identity(), data, quick(tile=tile, eval_batch_size=2))
        assert found == [expected]


def test_a_training_keeps_the_outputs_of_convolutions() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    assert run_on_meta(network, height=8, width=10).convolved_values() == 8 * 10 * (4 + 2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_data_of_which_no_val_can_be_taken(
    quick: Quick, refuses, rectangles: Path, tmp_path
) -> None:
    shutil.copytree(rectangles / "images/train", tmp_path / "flat/images")
    shutil.copytree(rectangles / "masks/train", tmp_path / "flat/masks")
    data = str(tmp_path / "flat")
    (tmp_path / "one/images").mkdir(parents=True)
    (tmp_path / "one/masks").mkdir()
    for part in ("images", "masks"):
        shutil.copy(rectangles / part / "train/train0.png", tmp_path / "one" / part / "0.png")
    refuses(quick(data=str(tmp_path / "one")), r"too few samples in train \(1\) for a split val")
    (tmp_path / "own.yaml").write_text(
        "name: own\ntitle: Own\nroot: flat\nclasses: [a, b, c]\nsplits:\n  train: {images: "
        '"images/*.png", masks: "masks/*.png"}\n'
    )
    shutil.move(tmp_path / "own.yaml", tmp_path / "flat/own.yaml")
    text = (tmp_path / "flat/own.yaml").read_text().replace("root: flat", "root: .")
    (tmp_path / "flat/own.yaml").write_text(text.replace("  train:", "  all:"))
    refuses(
        quick(data=str(tmp_path / "flat/own.yaml")), "there is no split val, and no split train"
    )
    refuses(quick(data=data, val_split="holdout"), "has no split 'holdout'; its splits are train")


def test_the_part_for_validation(quick: Quick, rectangles: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(rectangles / "images/train", tmp_path / "flat/images")
    shutil.copytree(rectangles / "masks/train", tmp_path / "flat/masks")
    prepared = prepare(quick(data=str(tmp_path / "flat"), val_fraction=0.34))
    assert (len(prepared.data.train_set), len(prepared.data.val_set)) == (4, 2)
    assert not set(prepared.data.train_set.names) & set(prepared.data.val_set.names)
    lines = capsys.readouterr().out.splitlines()
    note = "there is no split val: 2 of the 6 samples of train are val (--val-fraction 0.34)"
    assert f"Note: {note}" in lines


def test_missing_gpu(quick: Quick, refuses) -> None:
    refuses(quick(accelerator="gpu"), "no GPU")


def test_folder_that_is_taken_or_cannot_be_made(quick: Quick, refuses, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    prepare(quick())  # an empty folder is as good as none
    (tmp_path / "run" / "precious.txt").write_text("x")
    refuses(quick(), "already exists")
    refuses(quick(out=str(tmp_path / "run" / "precious.txt")), "already exists")
    refuses(quick(out=str(tmp_path / "run" / "precious.txt" / "run")), "cannot make the folder")


def test_damaged_image(quick: Quick, refuses, rectangles: Path, tmp_path: Path) -> None:
    data = tmp_path / "damaged"
    shutil.copytree(rectangles, data)
    path = min((data / "images" / "val").iterdir())
    path.write_bytes(path.read_bytes()[:100])
    refuses(quick(data=str(data)), path.name)


def test_whole_images_of_several_sizes(
    quick: Quick, refuses, rectangles: Path, tmp_path: Path
) -> None:
    data = tmp_path / "sizes"
    shutil.copytree(rectangles, data)
    for kind in ("images", "masks"):
        path = min((data / kind / "train").iterdir())
        Image.open(path).resize((80, 80), Image.Resampling.NEAREST).save(path)
    refuses(quick(data=str(data), final_epochs=1), "differ in size")
    prepare(quick(data=str(data), final_epochs=1, batch_size=1, crop=None))


def test_machine_without_the_devices(quick: Quick, refuses, monkeypatch) -> None:
    def fail(**_: object) -> None:
        raise MisconfigurationException("no such devices")

    monkeypatch.setattr(pl, "Trainer", fail)
    refuses(quick(), "this machine cannot train with --accelerator cpu --devices 1: no such dev")


def test_run_that_cannot_be_resumed(quick: Quick, refuses, tmp_path: Path) -> None:
    folder = train(quick(epochs=1, max_steps=2)).folder
    resume = {"resume": str(folder), "max_steps": 2}
    refuses(quick(**resume, lr=0.5), r"--lr is 0\.5, but the run .* with 0\.003")
    refuses(quick(**resume, seed=7), "a resumed run may change only")
    refuses(quick(**resume), "is complete")
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    refuses(quick(**resume), "truncated")
    last.unlink()
    assert prepare(quick(**resume)).checkpoint is None  # it is started again


def test_two_trainings_do_not_share_a_folder(quick: Quick, tmp_path: Path) -> None:
    """Both choose a folder before one of them makes it."""
    config = quick(epochs=1, out=str(tmp_path / "same"))
    first, second = prepare(config), prepare(config)
    fit(first)
    kept = {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"another training has just started in .*same"):
        fit(second)
    assert {path: path.read_bytes() for path in kept} == kept


def test_the_next_folder_is_taken_if_another_training_was_quicker(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prepared: list[Path] = []

    def prepare_too_late(config: TrainConfig, **_: object) -> PreparedRun:
        chosen = prepare(config)
        if not prepared:
            chosen.folder.mkdir(parents=True)
            (chosen.folder / "config.yaml").write_text("another's")
        prepared.append(chosen.folder)
        return chosen

    monkeypatch.setattr(train_module, "prepare", prepare_too_late)
    run = train(quick(epochs=1, max_steps=1, keep="last", out=None))
    assert [path.name for path in prepared] == ["rectangles0_fc56", "rectangles0_fc56-2"]
    assert run.folder == prepared[1]
    assert (prepared[0] / "config.yaml").read_text() == "another's"
    assert len(list(prepared[0].iterdir())) == 1
