"""Exported models: files that a runtime executes without the PyTorch code of the network.

`.onnx` runs in ONNX Runtime, `.xml` (with its `.bin`) in OpenVINO, `.pt2` in torch.export's own
format, layer by layer. Each holds a `Description`, so that it can be used like a checkpoint.
"""

import dataclasses
import functools
import json
import logging
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.devices import is_out_of_memory
from tiramisu.inference.packages import require_package
from tiramisu.inference.pt2_archive import check_archive

Array = npt.NDArray[np.float32]

SUFFIXES = {".onnx": "onnx", ".xml": "openvino", ".pt2": "pt2"}
"""Format by the ending of the file name."""
SUFFIX_OF = {format: suffix for suffix, format in SUFFIXES.items()}
KEPT_SHAPES = 4
"""Number of image shapes for which a compiled OpenVINO model is kept."""
KEY = "tiramisu"
"""Name of the description within a file."""


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
        try:
            values = json.loads(text)
            info = ModelInfo.from_dict(values["info"], origin=str(path))
            # Files of older versions hold more than this.
            return cls(info=info, precision=values["precision"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path} holds a damaged description ({error})") from None


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
        """(B, 3, H, W) RGB in 0..255 -> logits (B, num_classes, H, W) float32, on the CPU.

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
    return ExportedModel(run, Description.from_json(text, path=path), path=path)


def _open_onnx(path: Path) -> tuple[Callable[[Array], Array], str | None]:
    ort = require_package("onnxruntime", purpose=f"running {path.name}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors only
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
        raise _damaged(path, error) from None

    def run(images: Array) -> Array:
        return np.asarray(session.run(["logits"], {"images": images})[0])

    return run, session.get_modelmeta().custom_metadata_map.get(KEY)


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
        model = core.read_model(path)
    except RuntimeError as error:
        raise _damaged(path, error) from None

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
    # Convolutions on the CPU are faster in the channels-last format. The guards check the size of
    # images; in older versions of torch, such as 2.11, they are wrong below 64 pixels.
    module = program.module(check_guards=False).to(memory_format=torch.channels_last)

    def run(images: Array) -> Array:
        with torch.inference_mode():
            return np.asarray(module(torch.from_numpy(images)).contiguous())

    return run, files[KEY]


def _damaged(path: Path, error: Exception) -> ValueError:
    files = f"{path} or its .bin" if path.suffix == ".xml" else f"{path}"
    # The messages of runtimes can be a page long; the beginning says enough.
    reason = textwrap.shorten(str(error), 160, placeholder=" ...")
    return ValueError(
        f"{files} is damaged or is no {path.suffix} file: copy or export it again ({reason})"
    )
