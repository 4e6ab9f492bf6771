"""Writing a model as one file that a runtime executes: ONNX, OpenVINO or torch.export.

The input `images` is float32 (B, channels, H, W) with the values of image files, such as RGB in
0..255, of any batch size, with height and width of at least 32 pixels; the model normalises it. The
output is `logits` (B, C, H, W), or (B, C) of a classifier. ONNX calls the open axes batch, height
and width; the other formats have no names for them. A description of the logits is in the file as
JSON under the key "tiramisu": in the metadata of ONNX, in the runtime information of OpenVINO, or
in an extra file of the .pt2 archive.
"""

import io
import operator
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.utils._sympy.value_ranges import ValueRanges

from tiramisu.atomic import WriteError, move_into_place, write_file
from tiramisu.checkpoints.model import ImageModel
from tiramisu.export.quantize import quantize_onnx, quantize_openvino
from tiramisu.inference.exported import KEY, SUFFIXES, Description
from tiramisu.inference.packages import require_package, without_telemetry
from tiramisu.inference.predictor import MIN_SIDE

OPSET = 18
"""Version of the ONNX operators, of 2022: most runtimes have it, and it is the default of torch."""
TRACED_SIDE = 64
"""Smallest height and width that is declared to torch.export; see `trace`."""


def export_model(
    model: ImageModel, path: Path, *, calibration: Sequence[Tensor] = (), int8: bool = False
) -> Path:
    """Write a model for a runtime. The file appears under its name when it is complete.

    Args:
        model: a model in evaluation mode, on the CPU.
        path: the file to write: `.onnx` for ONNX Runtime, `.xml` for OpenVINO (with a `.bin` beside
            it), `.pt2` for torch.export. Its folder is made if it does not exist.
        calibration: for int8, typical images (B, C, H, W) with the values of files.
        int8: compute convolutions in 8-bit integers. Not for `.pt2`.

    Returns:
        The path.

    Raises:
        ValueError: the ending is unknown, a package is missing, int8 is asked for without images
            or for `.pt2`, or torch.export cannot trace the network.
        OSError: the file cannot be written.
    """
    path = Path(path)
    format = SUFFIXES.get(path.suffix)
    if format is None:
        raise ValueError(f"cannot export to {path}: expected an ending of {', '.join(SUFFIXES)}")
    if int8 and format == "pt2":
        raise ValueError(f"cannot export to {path}: there is no int8 for .pt2, only .onnx and .xml")
    if int8 and not calibration:
        raise ValueError("int8 needs images to calibrate on, and there are none")
    check_packages(format, int8=int8)
    description = Description(info=model.info, precision="int8" if int8 else "fp32").to_json()
    program = trace(model)
    images = calibration if int8 else []
    path.parent.mkdir(parents=True, exist_ok=True)
    if format == "onnx":
        _write_onnx(program, path, description, images)
    elif format == "openvino":
        _write_openvino(program, path, description, images)
    else:
        # Not to the file itself: torch aborts the process where the disk is full.
        archive = io.BytesIO()
        torch.export.save(program, archive, extra_files={KEY: description})
        write_file(path, archive.getbuffer())
    return path


def check_packages(format: str, *, int8: bool) -> None:
    """Raise ValueError if a package for a format is not installed."""
    names = {"onnx": ["onnx", "onnxscript", "onnxruntime"], "openvino": ["openvino"], "pt2": []}
    for name in names[format] + (["nncf"] if int8 else []):
        require_package(name, purpose=f"export to {format}" + (" in int8" if int8 else ""))


def move_exported(source: Path, target: Path) -> None:
    """Move an exported model within a file system; it is never incomplete under its name."""
    if target.suffix == ".xml":
        # An old graph must never stand beside new weights.
        target.unlink(missing_ok=True)
        move_into_place(source.with_suffix(".bin"), target.with_suffix(".bin"))
    move_into_place(source, target)


def trace(model: ImageModel) -> ExportedProgram:
    """A model as a graph for any batch size, and any height and width of at least `MIN_SIDE`.

    Raises:
        ValueError: torch.export cannot trace the network, or only at some sizes.
    """
    height, width = Dim("height", min=TRACED_SIDE), Dim("width", min=TRACED_SIDE)
    # One side is even and one odd, so that sizes are not taken for constants.
    images = torch.zeros(2, model.info.channels, 96, 101)
    # Older versions of torch, such as 2.11, make a graph for even sizes only or for odd sizes only,
    # because of how they divide in pooling; torch 2.15 divides as here.
    pooled_shape = mock.patch("torch._meta_registrations.div_rtn", operator.floordiv, create=True)
    try:
        with torch.no_grad(), pooled_shape:
            shapes = {"images": {0: Dim("batch"), 2: height, 3: width}}
            program = torch.export.export(model, (images,), dynamic_shapes=shapes, strict=False)
    except Exception as error:  # of many kinds, with messages for developers
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"torch.export cannot trace {model.info.arch} at all sizes: {reason}"
        ) from error
    # Below 64 pixels, five halvings leave a single pixel, and torch.export refuses sizes that may
    # become 1. The operations of our networks are the same at that size.
    for symbol, allowed in program.range_constraints.items():
        if allowed.lower == TRACED_SIDE:
            program.range_constraints[symbol] = ValueRanges(MIN_SIDE, allowed.upper)
    return program


def _write_onnx(
    program: ExportedProgram, path: Path, description: str, images: Sequence[Tensor]
) -> None:
    onnx = require_package("onnx", purpose="export to onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = torch.onnx.export(
            program,
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes={"images": {0: "batch", 2: "height", 3: "width"}},  # their names
            opset_version=OPSET,
            verbose=False,
        )
    assert converted is not None
    model = converted.model_proto
    if images:
        model = quantize_onnx(model, images)
    onnx.helper.set_model_props(model, {KEY: description})
    write_file(path, model.SerializeToString())


def _write_openvino(
    program: ExportedProgram, path: Path, description: str, images: Sequence[Tensor]
) -> None:
    ov = require_package("openvino", purpose="export to openvino")
    with without_telemetry():
        model = ov.convert_model(program)
    _crop_by_slicing(model)
    model.reshape([-1, _count_channels(program), -1, -1])  # the conversion leaves all four open
    model.inputs[0].get_tensor().set_names({"images"})
    model.outputs[0].get_tensor().set_names({"logits"})
    if images:
        model = quantize_openvino(model, images)
    model.set_rt_info(description, [KEY])
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
        draft = Path(folder, path.name)
        try:
            # By default OpenVINO rounds the weights to 16 bits.
            ov.save_model(model, draft, compress_to_fp16=False)
        except RuntimeError as error:  # also where the disk is full
            raise WriteError(path, str(error).strip().splitlines()[-1]) from None
        move_exported(draft, path)


def _count_channels(program: ExportedProgram) -> int:
    """Number of bands of the images that a traced model takes."""
    images = program.graph_signature.user_inputs[0]
    node = next(node for node in program.graph.nodes if node.name == images)
    return int(node.meta["val"].shape[1])


def _crop_by_slicing(model: Any) -> None:
    """Replace padding with negative widths, with which `TransitionUp` crops, by slices.

    With such a padding and open sizes, OpenVINO 2026.4 loses the number of channels and then
    computes int8 wrongly: a trained FC-DenseNet56 lost 10 points of mean IoU.
    """
    ops = require_package("openvino.opset13", purpose="export to openvino")
    for pad in [op for op in model.get_ordered_ops() if op.get_type_name() == "Pad"]:
        features, _, beyond_end = pad.input_values()[:3]
        shape = ops.shape_of(features, output_type="i64")
        ends = ops.gather(ops.add(shape, ops.convert(beyond_end, "i64")), [2, 3], 0)
        cropped = ops.slice(features, [0, 0], ends, [1, 1], [2, 3])
        pad.output(0).replace(cropped.output(0))
    model.validate_nodes_and_infer_types()
