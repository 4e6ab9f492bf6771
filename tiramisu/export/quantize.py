"""Post-training quantisation: convolutions in 8-bit integers, by NNCF."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from tiramisu.inference.packages import require_package, without_telemetry


def quantize_onnx(model: Any, images: Sequence[Tensor]) -> Any:
    """An ONNX model (`onnx.ModelProto`) in int8, with ranges measured on images (B, C, H, W)."""
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    return _quantize(model, convolutions, images, lambda image: {"images": image.float().numpy()})


def quantize_openvino(model: Any, images: Sequence[Tensor]) -> Any:
    """An OpenVINO model (`openvino.Model`) in int8, ranges measured on images (B, C, H, W)."""
    operations = model.get_ordered_ops()
    convolutions = [o.get_friendly_name() for o in operations if o.get_type_name() == "Convolution"]
    return _quantize(model, convolutions, images, lambda image: image.float().numpy())


def _quantize(
    model: Any, convolutions: list[str], images: Sequence[Tensor], feed: Callable[[Tensor], Any]
) -> Any:
    """Quantise all convolutions but the first and the last.

    In int8 these two save little time and lose most accuracy. On the validation split of CamVid at
    half resolution, a trained FC-DenseNet56 (50.20 % mean IoU) keeps 50.20 % this way in OpenVINO;
    with all convolutions in int8 it drops to 49.44 %.
    """
    with without_telemetry():
        # NNCF would warn that there is no CUDA compiler, which is not needed here.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        nncf = require_package("nncf", purpose="int8")
        logging.getLogger("nncf").setLevel(logging.ERROR)
        return nncf.quantize(
            model,
            nncf.Dataset(images, feed),
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=[convolutions[0], convolutions[-1]]),
        )
