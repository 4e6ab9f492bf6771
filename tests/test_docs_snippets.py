"""The Python in README.md and docs/ runs as it stands there.

`own_parts.md`, whose blocks are files and commands, has tests of its own.
"""

import contextlib
import dataclasses
import runpy
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from doc_pages import DOCS, PAGES, find_blocks, name_of
from PIL import Image
from tiny_data import write_rectangles
from torchvision.models import DenseNet121_Weights, densenet121

from tiramisu import (
    ModelInfo,
    PredictConfig,
    SegmentationModel,
    draw_scene,
    export_model,
    load_exported,
    load_model,
    load_spec,
    predict,
)
from tiramisu.checkpoints.checkpoint import save_model
from tiramisu.inference.files import predict_files
from tiramisu.training import train as train_module

WITH_PYTHON = [
    page for page in PAGES if find_blocks(page, "python") and page.name != "own_parts.md"
]
PLAIN_ONNX = "plain_onnx.py"


def street_model(*, arch: str = "fc56", image_scale: float = 1.0) -> SegmentationModel:
    """A network for the classes of `streets`, with random weights."""
    spec = load_spec("streets")
    torch.manual_seed(0)
    info = ModelInfo(
        arch=arch,
        class_names=spec.class_names,
        colors=tuple(map(tuple, spec.colors.tolist())),
        dataset="streets",
        image_scale=image_scale,
        mean=(0.4, 0.4, 0.4),
        std=(0.2, 0.2, 0.2),
    )
    return SegmentationModel.build(info).eval()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with all that snippets take."""
    monkeypatch.chdir(tmp_path)
    photo = draw_scene(3, height=96, width=128)[0]
    Image.fromarray(photo).save("photo.jpg", quality=95)
    for run in ("camvid_fc103", "streets_fc56"):
        save_model(street_model(), Path("runs", run))
    config = PredictConfig(checkpoint="runs/streets_fc56", probabilities=True)
    predict_files(street_model(), ["photo.jpg"], config=config)
    for split in ("train", "val"):
        write_rectangles(Path("mydata"), split, count=2, seed=len(split), size=32)
    return tmp_path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings of one step, and weights of torchvision without a download."""
    prepare = train_module.prepare
    small = {"epochs": 1, "max_steps": 1, "batch_size": 2, "crop": (32, 32), "keep": "last"}
    small |= {"data": "mydata", "accelerator": "cpu", "recalibrate": False}
    monkeypatch.setattr(
        train_module,
        "prepare",
        lambda config, **given: prepare(dataclasses.replace(config, **small), **given),
    )
    weights = densenet121(weights=None).state_dict()
    monkeypatch.setattr(DenseNet121_Weights, "get_state_dict", lambda *_, **__: weights)
    torch.save(weights, "densenet.pth")


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_the_blocks_of_a_page_run_one_after_another(page: Path, folder: Path, quick: None) -> None:
    values: dict[str, object] = {}
    for block in find_blocks(page, "python"):
        if not block.startswith((f"# {PLAIN_ONNX}", "# cluster.py")):
            exec(compile(block, name_of(page), "exec"), values)


def test_one_class_as_a_mask(folder: Path) -> None:
    values: dict[str, Any] = {}
    for block in find_blocks(DOCS / "answers.md", "python"):
        exec(block, values)
    model = load_model("runs/streets_fc56")
    expected = predict(model, "photo.jpg").mask
    assert (values["mask"] == expected).all()
    road = model.info.class_names.index("Road")
    assert (np.asarray(Image.open("road.png")) == 255 * (expected == road)).all()
    assert (values["found"]["probabilities"].argmax(0) == expected).mean() > 0.99


def test_plain_onnx_predicts_as_the_package_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    model = street_model(arch="tiny_parts:TinyNet", image_scale=0.5)
    with contextlib.redirect_stdout(sys.stderr):
        export_model(model, "model.onnx")
    (script,) = [
        block
        for block in find_blocks(DOCS / "export.md", "python")
        if block.startswith(f"# {PLAIN_ONNX}: python {PLAIN_ONNX} model.onnx photo.jpg")
    ]
    Path(PLAIN_ONNX).write_text(script)
    argv = [PLAIN_ONNX, "model.onnx", "photo.jpg", "mask.png", "overlay.png"]
    monkeypatch.setattr(sys, "argv", argv)
    capsys.readouterr()
    runpy.run_path(PLAIN_ONNX)
    expected = predict(load_exported("model.onnx"), "photo.jpg").mask
    mask = cv2.imread("mask.png", cv2.IMREAD_UNCHANGED)
    assert mask.shape == expected.shape == (96, 128)
    assert (mask == expected).mean() > 0.99
    assert len(np.unique(expected)) > 1
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown] == list(model.info.class_names)
    colors = np.uint8(model.info.colors)[mask]
    photo = cv2.cvtColor(cv2.imread("photo.jpg"), cv2.COLOR_BGR2RGB)
    overlay = cv2.cvtColor(cv2.imread("overlay.png"), cv2.COLOR_BGR2RGB)
    assert (overlay == photo // 2 + colors // 2).all()


def test_the_cluster_of_slurm_has_workers_as_the_page_says() -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    blocks = find_blocks(DOCS / "clusters.md", "python")
    source = next(block for block in blocks if block.startswith("# cluster.py"))
    values: dict[str, Any] = {}
    exec(source.partition("cluster.adapt")[0].replace("8786", "0"), values)
    with values["cluster"] as cluster:
        script = cluster.job_script()
    for words in ("#SBATCH -p gpu", "#SBATCH --cpus-per-task=4", "--gres=gpu:1", "--nthreads 4"):
        assert words in script


def test_the_files_for_kubernetes_and_slurm_are_understood() -> None:
    (text,) = find_blocks(DOCS / "clusters.md", "yaml")
    cluster = yaml.safe_load(text)
    assert cluster["kind"] == "DaskCluster"
    (worker,) = cluster["spec"]["worker"]["spec"]["containers"]
    assert worker["args"][-2:] == ["--nthreads", worker["resources"]["limits"]["cpu"]]
    ports = cluster["spec"]["scheduler"]["spec"]["containers"][0]["ports"]
    service = cluster["spec"]["scheduler"]["service"]["ports"]
    assert [p["containerPort"] for p in ports] == [p["port"] for p in service]
