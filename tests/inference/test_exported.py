"""Exported files whose description or weights are wrong: refused when they are loaded."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tiramisu.inference.exported import KEY, load_exported

onnx = pytest.importorskip("onnx")
ov = pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")

INFO = {"arch": "tiny", "class_names": ["a", "b"], "colors": [[0, 0, 0], [9, 9, 9]]}
GOOD = {"info": INFO, "precision": "fp32"}


def make_graph(*, weight: float = 1.0, channels: int = 3, name: str = "logits") -> Any:
    """ONNX: a convolution of 1x1 to two classes, whose first weight is `weight`."""
    kernel = np.ones((2, channels, 1, 1), np.float32)
    kernel[0, 0] = weight
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Conv", ["images", "kernel"], ["features"]),
            onnx.helper.make_node("Relu", ["features"], [name]),
        ],
        "graph",
        [value("images", onnx.TensorProto.FLOAT, ["b", channels, "h", "w"])],
        [value(name, onnx.TensorProto.FLOAT, ["b", 2, "h", "w"])],
        [onnx.numpy_helper.from_array(kernel, "kernel")],
    )
    opset = onnx.helper.make_opsetid("", 18)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9)


def write_onnx(path: Path, text: str | None, **options: Any) -> None:
    model = make_graph(**options)
    if text is not None:
        onnx.helper.set_model_props(model, {KEY: text})
    onnx.save(model, path)


def write_openvino(path: Path, text: str | None, **options: Any) -> None:
    graph = path.with_name("graph.onnx")
    onnx.save(make_graph(**options), graph)
    model = ov.convert_model(graph)
    if text is not None:
        model.set_rt_info(text, [KEY])
    ov.save_model(model, path, compress_to_fp16=False)


def write_pt2(path: Path, text: str | None, *, weight: float = 1.0, channels: int = 3) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(channels, 2, 1, bias=False), torch.nn.ReLU())
    network[0].weight.data.fill_(1.0)[0, 0] = weight
    images = torch.zeros(2, channels, 64, 65)
    sizes = {0: torch.export.Dim("b"), 2: torch.export.Dim("h"), 3: torch.export.Dim("w")}
    program = torch.export.export(network, (images,), dynamic_shapes=(sizes,))
    torch.export.save(program, path, extra_files={KEY: text or ""})


WRITERS = {".onnx": write_onnx, ".xml": write_openvino, ".pt2": write_pt2}


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Path]:
    """Writes a file with this description, and returns its path."""

    def write(description: Any, **options: Any) -> Path:
        path = tmp_path / f"tiny{request.param}"
        text = description if isinstance(description, str) else json.dumps(description)
        WRITERS[request.param](path, None if description is None else text, **options)
        return path

    return write


def refuses(path: Path, problem: str) -> None:
    with pytest.raises(ValueError, match=rf"^[^\n]*tiny\{path.suffix}[^\n]*{problem}[^\n]*$"):
        load_exported(path)


def with_info(**changes: Any) -> dict[str, Any]:
    return {**GOOD, "info": {**INFO, **changes}}


def test_a_good_file_is_loaded(write: Callable[..., Path]) -> None:
    model = load_exported(write({**GOOD, "of an older version": 3}))
    logits = model(torch.full((1, 3, 40, 50), 2.0))
    assert torch.equal(logits, torch.full((1, 2, 40, 50), 6.0))


DESCRIPTIONS = {
    "none": (None, "does not name its classes"),
    "no JSON": ("{", "not readable as JSON"),
    "deep": ("[" * 100_000, "not readable as JSON"),
    "a number": ("3", "expected `key: value` lines, not 3"),
    "null": ("null", "expected `key: value` lines"),
    "no info": ({"precision": "fp32"}, "info: missing"),
    "info as a list": ({**GOOD, "info": []}, "info: expected"),
    "no precision": ({"info": INFO}, "precision: missing"),
    "another precision": ({**GOOD, "precision": "int4"}, "precision: expected fp32 or int8"),
    "a wrong colour": (with_info(colors=[[300, 0, 0], [0, 0, 0]]), "colors.0: expected a color"),
    "NaN": (with_info(mean=[math.nan, 0, 0]), "mean.0: expected"),
    "one class less": (
        with_info(class_names=["a"], colors=[[0, 0, 0]]),
        "class_names: expected 2 classes or more, not 1",
    ),
    "one class more": (
        with_info(class_names=["a", "b", "c"], colors=[[0, 0, 0]] * 3),
        r"another model: it has 3 classes .*\(1, 2, 64, 64\)",
    ),
    "another task": (with_info(task="classification"), "another model"),
}


@pytest.mark.parametrize(("description", "problem"), DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_a_wrong_description_is_named(
    write: Callable[..., Path], description: Any, problem: str
) -> None:
    refuses(write(description), problem)


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf])
def test_weights_that_are_no_numbers_are_named(write: Callable[..., Path], weight: float) -> None:
    refuses(write(GOOD, weight=weight), "holds NaN or infinity in")


def test_logits_that_are_no_numbers_are_named(write: Callable[..., Path], monkeypatch) -> None:
    path = write(GOOD, weight=-3e38)
    monkeypatch.setattr(torch, "zeros", lambda *shape: torch.full(shape, -1e9))
    refuses(path, "holds NaN or infinity in its logits")


def test_a_graph_for_other_images_is_refused(write: Callable[..., Path]) -> None:
    refuses(write(GOOD, channels=4), "is damaged")


def test_a_graph_with_other_outputs_is_refused(tmp_path: Path) -> None:
    write_onnx(tmp_path / "tiny.onnx", json.dumps(GOOD), name="other")
    refuses(tmp_path / "tiny.onnx", "is damaged")


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize(
    "content",
    [b"", b"text", bytes(100), b"<net>" * 100_000, b'<net version="11"><layers>'],
    ids=["empty", "text", "zeros", "deep", "cut"],
)  # fmt: skip
def test_another_file_is_named(
    tmp_path: Path, suffix: str, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"tiny{suffix}"
    path.write_bytes(content)
    path.with_suffix(".bin").write_bytes(b"")
    refuses(path, "is damaged")
    assert capfd.readouterr().err == ""  # the runtimes print nothing of their own
