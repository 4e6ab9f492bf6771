"""The machine: what it is, and how many operations a second it reaches at best."""

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor

from tiramisu.benchmark.steps import DTYPES
from tiramisu.benchmark.timing import Step

SIDES = {"cpu": 2048, "mps": 2048, "cuda": 8192}
"""Of the matrices whose product is the limit, by device."""


PACKAGES = (
    "tiramisu-seg",
    "torch",
    "torchvision",
    "segmentation-models-pytorch",
    "onnxruntime",
    "openvino",
    "nncf",
)
"""Whose versions a figure depends on, where they are installed."""


def describe_machine(*, device: str, threads: int) -> dict[str, object]:
    """What a figure depends on beside the code."""
    described: dict[str, object] = {
        "processor": _processor(),
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "threads": threads,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES if _is_installed(name)},
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    if device == "cuda":
        described["gpu"] = torch.cuda.get_device_name()
        described["cuda"] = torch.version.cuda
    return described


def make_products(*, device: str, precision: str) -> tuple[dict[str, Step], int]:
    """Large products of matrices, whose speed is the machine's limit; and operations of each.

    The matrices are 2048 x 2048 (8192 x 8192 on a GPU), multiplied by `torch.mm` and by a 1x1
    convolution, channels last, of as many pixels and channels: the two are computed by different
    libraries, and on some processors the convolution is twice as fast. A multiply-add is two
    operations.
    """
    side = SIDES[device]
    dtype = DTYPES[precision]
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    pixels = left.t().reshape(1, side, 32, side // 32)  # (side, side) -> (1, side, 32, side / 32)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    weight = right.reshape(side, side, 1, 1).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def multiply() -> Tensor:
        return torch.mm(left, right)

    @torch.inference_mode()
    def convolve() -> Tensor:
        return F.conv2d(pixels, weight)

    return {"product by torch.mm": multiply, "product by convolution": convolve}, 2 * side**3


def _is_installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def _processor() -> str:
    """The processor's name; Python itself knows it on few systems."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
