"""Weights that are no numbers, or not those of the network: named wherever they are loaded."""

import io
import math
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tiramisu.checkpoints.checkpoint import load_model, save_model
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import SegmentationModel

FIRST = "features.conv0.weight"
COUNTER = "features.denseblock1.denselayer1.norm1.num_batches_tracked"


@pytest.fixture(scope="module")
def model() -> SegmentationModel:
    info = ModelInfo(arch="fc56", class_names=("a", "b"), colors=((0, 0, 0), (9, 9, 9)))
    return SegmentationModel.build(info).eval()


def save_checkpoint(model: SegmentationModel, path: Path, **changes: Any) -> Path:
    state = {f"model.network.{n}": v for n, v in model.network.state_dict().items()}
    torch.save({"state_dict": state, "model_info": vars(model.info), **changes}, path)
    return path


def with_value(name: str, value: float) -> Callable[[dict[str, Any]], None]:
    def change(weights: dict[str, Any]) -> None:
        weights[name] = weights[name].clone()
        weights[name].view(-1)[-1] = value

    return change


def replaced(value: Callable[[Tensor], Any]) -> Callable[[dict[str, Any]], None]:
    return lambda weights: weights.update({FIRST: value(weights[FIRST])})


CHANGES = {
    "NaN": (with_value(FIRST, math.nan), f"NaN or infinity in .*{FIRST}"),
    "inf": (with_value(FIRST, math.inf), f"NaN or infinity in .*{FIRST}"),
    "-inf": (with_value("classifier.bias", -math.inf), "NaN or infinity in .*classifier.bias"),
    "NaN in fp16": (replaced(lambda w: w.half() * math.nan), f"NaN or infinity in .*{FIRST}"),
    "1e300": (replaced(lambda w: w.double() + 1e300), f"NaN or infinity in .*{FIRST}"),
    "whole numbers": (replaced(Tensor.int), rf"{FIRST} is torch.int32; expected torch.float32"),
    "true or false": (replaced(Tensor.bool), rf"{FIRST} is torch.bool"),
    "fraction as counter": (lambda w: w.update({COUNTER: torch.tensor(1.0)}), COUNTER),
    "another shape": (replaced(lambda w: w[:1]), "of another shape"),
    "missing": (lambda w: w.pop(FIRST), "1 layers missing"),
    "unknown": (lambda w: w.update(more=torch.ones(1)), "1 unknown"),
}


@pytest.mark.parametrize(("change", "problem"), CHANGES.values(), ids=CHANGES)
def test_weights_that_do_not_fit_are_refused(
    model: SegmentationModel, tmp_path: Path, change: Callable[[dict[str, Any]], None], problem: str
) -> None:
    path = save_model(model, tmp_path)
    weights = load_file(path)
    change(weights)
    save_file(weights, path)
    with pytest.raises(ValueError, match=rf"model\.safetensors .*{problem}"):
        load_model(tmp_path)
    state = {f"model.network.{name}": value for name, value in weights.items()}
    checkpoint = save_checkpoint(model, tmp_path / "a.ckpt", state_dict=state)
    with pytest.raises(ValueError, match=rf"a\.ckpt .*{problem}"):
        load_model(checkpoint)


PARTS: dict[str, dict[str, Any]] = {
    "weights as a number": {"state_dict": 3},
    "weights as a list": {"state_dict": []},
    "a weight that is text": {"state_dict": {FIRST: "text"}},
    "a weight that is a list": {"state_dict": {FIRST: [1.0]}},
    "a sparse weight": {"state_dict": {FIRST: torch.ones(2, 2).to_sparse()}},
    "a weight without memory": {"state_dict": {FIRST: torch.ones(2, device="meta")}},
    "a number as name": {"state_dict": {5: torch.ones(1)}},
    "no weights": {"state_dict": {}},
    "description as a number": {"model_info": 3},
    "description as a list": {"model_info": []},
    "empty description": {"model_info": {}},
    "description of fc67": {
        "model_info": {"arch": "fc67", "class_names": ("a", "b"), "colors": ((0, 0, 0),) * 2}
    },
}


@pytest.mark.parametrize("changes", PARTS.values(), ids=PARTS)
def test_a_wrong_part_of_a_checkpoint_is_named(
    model: SegmentationModel, tmp_path: Path, changes: dict[str, Any]
) -> None:
    path = save_checkpoint(model, tmp_path / "a.ckpt", **changes)
    with pytest.raises(ValueError, match=r"^[^\n]*a\.ckpt[^\n]*$"):
        load_model(path)


def packed(content: bytes, **options: Any) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **options) as archive:
        archive.writestr("a/data.pkl", content)
    return stream.getvalue()


NO_CHECKPOINTS = {
    "empty": b"",
    "text": b"this is a text\n",
    "text that begins like a pickle": b"cos\nsystem\nis a text",
    "zeros": bytes(1000),
    "points": b"." * 100_000,
    **{f"random {seed}": random.Random(seed).randbytes(2000) for seed in range(8)},
    "JSON": b"{}",
    "another archive": packed(b"text"),
    "a number": pickle.dumps(3),
    "a dict of numbers": pickle.dumps({"state_dict": 3, "model_info": 4}),
    "compressed": packed(bytes(10_000_000), compression=zipfile.ZIP_DEFLATED),
}


@pytest.mark.parametrize("content", NO_CHECKPOINTS.values(), ids=NO_CHECKPOINTS)
def test_what_is_no_checkpoint_is_not_called_malicious(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^[^\n]*a\.ckpt is [^\n]*$") as caught:
        load_model(path)
    assert "could run code" not in str(caught.value)


class Trap:
    """A pickle that makes a folder when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["archive", "old archive", "pickle", "old pickle"])
def test_what_could_run_code_is_called_so(tmp_path: Path, kind: str) -> None:
    path, trap = tmp_path / "a.ckpt", Trap(tmp_path / "sprung")
    if "archive" in kind:
        is_new = kind == "archive"
        torch.save({"state_dict": trap}, path, _use_new_zipfile_serialization=is_new)
    else:
        path.write_bytes(pickle.dumps(trap, protocol=0 if kind == "old pickle" else 4))
    with pytest.raises(ValueError, match=r"a\.ckpt was refused: .*could run code"):
        load_model(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"text", bytes(100), struct.pack("<Q", 2**62), struct.pack("<Q", 100_000) + b"[" * 10**5],
    ids=["empty", "text", "zeros", "endless header", "deep header"],
)  # fmt: skip
def test_what_is_no_safetensors_file_is_named(
    model: SegmentationModel, tmp_path: Path, content: bytes
) -> None:
    save_model(model, tmp_path).write_bytes(content)
    with pytest.raises(ValueError, match=r"^[^\n]*model\.safetensors is truncated or[^\n]*$"):
        load_model(tmp_path)


def test_a_renamed_file_is_named(model: SegmentationModel, tmp_path: Path) -> None:
    save_model(model, tmp_path).rename(tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"a\.ckpt is damaged or is no checkpoint"):
        load_model(tmp_path / "a.ckpt")
