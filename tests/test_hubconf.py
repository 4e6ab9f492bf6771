"""torch.hub: networks and trained models, from a clone that is not installed."""

import inspect
import json
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tiramisu.checkpoints.checkpoint import save_model
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.models import zoo

CLONE = Path(__file__).parents[1]
# Libraries that loading by torch.hub must not import.
OTHERS = (
    *("lightning", "torchvision", "torchmetrics", "segmentation_models_pytorch", "timm", "cv2"),
    *("albumentations", "matplotlib", "jsonargparse", "psutil"),
)
USER = (
    f"OTHERS = {OTHERS}"
    + """
import json, sys
# Tiramisu is not installed: remove what finds an editable install.
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
import torch
clone, checkpoint = sys.argv[1:]
network = torch.hub.load(clone, "fc_densenet56", source="local", num_classes=11)
model = torch.hub.load(clone, "model", checkpoint, source="local")
import tiramisu
with torch.inference_mode():
    logits = model(torch.arange(3 * 32 * 32, dtype=torch.float32).view(1, 3, 32, 32) / 12)
print(json.dumps({
    "loaded": [name for name in OTHERS if name in sys.modules],
    "home": tiramisu.__file__,
    "parameters": sum(parameter.numel() for parameter in network.parameters()),
    "task": model.task,
    "sum": logits.double().sum().item(),
}))
"""
)


@pytest.fixture(scope="module")
def hubconf() -> ModuleType:
    """hubconf.py, imported the way torch.hub does."""
    spec = spec_from_file_location("hubconf", CLONE / "hubconf.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entries(hubconf: ModuleType) -> list[str]:
    """The entries as torch.hub.list finds them; that function only looks on GitHub."""
    return [n for n in dir(hubconf) if callable(getattr(hubconf, n)) and not n.startswith("_")]


def test_the_entries_are_the_published_networks_and_one_for_trained_models(
    hubconf: ModuleType,
) -> None:
    builders = {entry.build.__name__ for name, entry in zoo.ZOO.items() if ":" not in name}
    assert set(entries(hubconf)) == builders | {"model"} == set(hubconf.__all__)


def test_each_entry_has_a_docstring(hubconf: ModuleType) -> None:
    for name in entries(hubconf):
        assert inspect.getdoc(getattr(hubconf, name)), name


def test_an_entry_builds_what_build_model_builds(hubconf: ModuleType) -> None:
    network = hubconf.densenet_bc100_12(num_classes=10)
    assert sum(parameter.numel() for parameter in network.parameters()) == 769_162


def test_a_clone_serves_torch_hub_without_being_installed(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    shutil.copy(CLONE / "hubconf.py", clone)
    shutil.copytree(
        CLONE / "tiramisu", clone / "tiramisu", ignore=shutil.ignore_patterns("__pycache__")
    )
    torch.manual_seed(0)
    info = ModelInfo(arch="fc56", class_names=("a", "b"), colors=((0, 0, 0), (9, 9, 9)))
    model = SegmentationModel.build(info).eval()
    save_model(model, tmp_path / "run")
    command = [sys.executable, "-c", USER, str(clone), str(tmp_path / "run")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert Path(told["home"]).is_relative_to(clone)
    # torch.hub only checks `dependencies`, so other libraries may be missing.
    assert told["loaded"] == []
    assert told["parameters"] == 1_376_795
    assert told["task"] == "segmentation"
    with torch.inference_mode():
        logits = model(torch.arange(3 * 32 * 32, dtype=torch.float32).view(1, 3, 32, 32) / 12)
    assert told["sum"] == pytest.approx(logits.double().sum().item(), rel=1e-4)
