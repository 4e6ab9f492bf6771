"""Exported models: files that a runtime executes without the PyTorch code of the network.

`.onnx` runs in ONNX Runtime, `.xml` (with its `.bin`) in OpenVINO, `.pt2` in torch.export's own
format, layer by layer. Each holds a `Description`, so that it can be used like a checkpoint.
"""

import dataclasses
import functools
import json
import logging
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import TypedDict

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.weights_file import not_finite
from tiramisu.data.json_file import parse_json, validate
from tiramisu.devices import is_out_of_memory
from tiramisu.inference.packages import require_package
from tiramisu.inference.predictor import MIN_SIDE
from tiramisu.inference.pt2_archive import check_archive
from tiramisu.text import in_one_line

Array = npt.NDArray[np.float32]

SUFFIXES = {".onnx": "onnx", ".xml": "openvino", ".pt2": "pt2"}
"""Format by the ending of the file name."""
SUFFIX_OF = {format: suffix for suffix, format in SUFFIXES.items()}
KEPT_SHAPES = 4
"""Number of image shapes for which a compiled OpenVINO model is kept."""
KEY = "tiramisu"
"""Name of the description within a file."""


class _Fields(TypedDict):
    """What the JSON of a description holds; that of older versions holds more."""

    info: dict[str, Any]
    precision: Literal["fp32", "int8"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """The description within an exported file."""

    info: ModelInfo
    """What its logits mean."""
    precision: Literal["fp32", "int8"]
    """Number format of its convolutions."""

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str | None, *, path: Path) -> "Description":
        """Read the description of a file. Raises ValueError if there is none."""
        if not text:
            raise ValueError(
                f"{path} was not written by `tiramisu export`: it does not name its classes"
            )
        values = parse_json(text, origin=f"the description in {path}")
        try:
            fields = validate(_Fields, values)
        except ValueError as error:
            raise ValueError(
                f"the description in {path} is damaged ({error}); export the model again"
            ) from None
        info = ModelInfo.from_dict(fields["info"], origin=f"the description in {path}")
        return cls(info=info, precision=fields["precision"])


class ExportedModel:
    """A model that a runtime executes on the CPU; it predicts like a `SegmentationModel`.

    It uses as many threads as torch does (`torch.set_num_threads`) when it is loaded.
    """

    training = False
    device = torch.device("cpu")

    def __init__(
        self, run: Callable[[Array], Array], description: Description, *, path: Path
    ) -> None:
        self._run = run
        self.path = path
        self.info = description.info
        self.precision = description.precision

    def __call__(self, images: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        """(B, C, H, W) with the values of image files -> logits (B, num_classes, H, W), float32.

        `size` asks for logits of another height and width; they are interpolated bilinearly.

        Raises:
            torch.OutOfMemoryError: the memory is too small.
        """
        array = images.detach().float().contiguous().numpy()
        try:
            logits = torch.from_numpy(self._run(array))
        except Exception as error:  # the exceptions of ONNX Runtime have no base class
            if is_out_of_memory(error):
                raise torch.OutOfMemoryError(f"{self.path}: out of memory") from error
            raise
        if size is not None and logits.shape[-2:] != size:
            logits = F.interpolate(logits, size=size, mode="bilinear")
        return logits


def load_exported(path: str | Path) -> ExportedModel:
    """Load a file that `export_model` wrote; its ending tells the runtime.

    Nothing in the file is run as code: see `check_archive` for `.pt2`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or not ours, or its runtime is not installed.
    """
    path = Path(path)
    format = SUFFIXES.get(path.suffix)
    if format is None:
        raise ValueError(
            f"{path} is no exported model by its ending; expected one of {', '.join(SUFFIXES)}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; `tiramisu export` writes one")
    if format == "openvino" and not path.with_suffix(".bin").is_file():
        raise FileNotFoundError(
            f"there is no {path.with_suffix('.bin')}: an OpenVINO model has two files; copy both"
        )
    run, text = {"onnx": _open_onnx, "openvino": _open_openvino, "pt2": _open_pt2}[format](path)
    model = ExportedModel(run, Description.from_json(text, path=path), path=path)
    _try_out(model)
    return model


def _try_out(model: ExportedModel) -> None:
    """Raise ValueError if the graph of a model does not fit its description."""
    side = 2 * MIN_SIDE
    try:
        logits = model(torch.zeros(1, model.info.channels, side, side))
    except Exception as error:  # of many kinds, with no base class
        raise _damaged(model.path, error) from None
    num_classes = len(model.info.class_names)
    sides = (side, side) if model.info.task == "segmentation" else ()
    if logits.shape != (1, num_classes, *sides):
        raise ValueError(
            f"the description in {model.path} belongs to another model: it has {num_classes} "
            f"classes for {model.info.task}, and the graph gives logits of the shape "
            f"{tuple(logits.shape)}; export the model again"
        )
    if not logits.isfinite().all():
        raise ValueError(not_finite(str(model.path), "its logits"))


def _check_finite(weights: Iterable[tuple[str, Array]], *, path: Path) -> None:
    """Raise ValueError if a weight of a graph is NaN or infinite; ReLU could hide it."""
    for name, value in weights:
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ValueError(not_finite(str(path), name))


def _open_onnx(path: Path) -> tuple[Callable[[Array], Array], str | None]:
    ort = require_package("onnxruntime", purpose=f"running {path.name}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors only
    try:
        weights = _read_initializers(path)
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
        raise _damaged(path, error) from None
    _check_finite(weights, path=path)

    def run(images: Array) -> Array:
        return np.asarray(session.run(["logits"], {"images": images})[0])

    return run, session.get_modelmeta().custom_metadata_map.get(KEY)


def _read_initializers(path: Path) -> list[tuple[str, Array]]:
    """The weights in an ONNX file; none if there is no package to read them."""
    try:
        onnx = require_package("onnx", purpose="reading weights")
    except ValueError:  # it is not needed to run a model
        return []
    weights = onnx.load(path, load_external_data=False).graph.initializer
    return [(weight.name, onnx.numpy_helper.to_array(weight)) for weight in weights]


def _open_openvino(path: Path) -> tuple[Callable[[Array], Array], str | None]:
    ov = require_package("openvino", purpose=f"running {path.name}")
    core = ov.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        # Without this, OpenVINO computes in bfloat16 on some processors.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    try:
        _, root = next(ElementTree.iterparse(path, events=("start",)))
        if root.tag != "net" or not re.fullmatch("1[0-9]", root.get("version", "")):
            # OpenVINO would try all other formats that it knows.
            raise ValueError("it does not begin with <net ... version=...>")
        model = core.read_model(path)
    except (ElementTree.ParseError, ValueError, RuntimeError) as error:
        raise _damaged(path, error) from None
    constants = (op for op in model.get_ordered_ops() if op.get_type_name() == "Constant")
    _check_finite(((op.get_friendly_name(), op.data) for op in constants), path=path)

    # With open height and width, OpenVINO 2026.4 computes some int8 graphs wrongly (the logits of
    # an untrained network correlate with the right ones by 0.95, not by 0.999), and is a quarter
    # slower. So a model is compiled for each shape of images, and the last few are kept.
    @functools.lru_cache(maxsize=KEPT_SHAPES)
    def compile_for(shape: tuple[int, ...]) -> Any:
        fixed = model.clone()
        fixed.reshape(list(shape))
        return core.compile_model(fixed, "CPU", settings)

    def run(images: Array) -> Array:
        return np.asarray(compile_for(images.shape)(images)[0])

    return run, model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None


def _open_pt2(path: Path) -> tuple[Callable[[Array], Array], str | None]:
    check_archive(path)
    files = {KEY: ""}
    logging.getLogger("torch.export").setLevel(logging.CRITICAL)  # it would log the traceback too
    try:
        program = torch.export.load(path, extra_files=files)
    except Exception as error:
        raise _damaged(path, error) from None
    tensors = {name: t.detach() for name, t in program.state_dict.items() if t.is_floating_point()}
    _check_finite(((name, t.float().numpy()) for name, t in tensors.items()), path=path)
    # Convolutions on the CPU are faster in the channels-last format. The guards check the size of
    # images; in older versions of torch, such as 2.11, they are wrong below 64 pixels.
    module = program.module(check_guards=False).to(memory_format=torch.channels_last)

    def run(images: Array) -> Array:
        with torch.inference_mode():
            return np.asarray(module(torch.from_numpy(images)).contiguous())

    return run, files[KEY]


def _damaged(path: Path, error: Exception) -> ValueError:
    files = f"{path} or its .bin" if path.suffix == ".xml" else f"{path}"
    return ValueError(
        f"{files} is damaged or is no {path.suffix} file: copy or export it again "
        f"({in_one_line(error)})"
    )
