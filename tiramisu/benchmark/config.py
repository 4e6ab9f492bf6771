"""The settings of a benchmark: each field is a flag of `tiramisu benchmark`. No torch here."""

import dataclasses
from typing import Literal

from tiramisu.settings import (
    Accelerator,
    BatchSize,
    Count,
    NumberOrZero,
    Processes,
    Side,
    check_ranges,
    explain,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """A benchmark.

    Without arch, mode, size, batch, contenders and study it is the comparisons of docs/speed.md.

    Raises:
        ValueError: a field is out of its range.
    """

    arch: list[str] | str | None = None
    """Network, or a list: [fc56,fc103]; by default fc103. With several lists (arch, size, batch),
    all combinations are measured."""
    mode: Literal["infer", "train"] | None = None
    """infer (a forward pass, the default) or train (a training step)."""
    size: list[tuple[Side, Side]] | tuple[Side, Side] | None = None
    """Height and width of the images, [360,480], or a list: [[180,240],[360,480]]. By default those
    of the network's paper: [360,480] to infer and [224,224] to train with FC-DenseNets, [224,224]
    for DenseNets, [32,32] for the DenseNets of CIFAR."""
    batch: list[BatchSize] | BatchSize | None = None
    """Images in one step, or a list: [1,2,4]; by default 1 to infer, 3 (DenseNets: 8) to train."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the computation; bf16 and fp16 are mixed precision."""
    contenders: list[str] | None = None
    """What is compared, the reference first: [plain,ours,ours+compile]. Each is SOURCE or
    SOURCE+WAY. Sources: ours, plain (a direct implementation of the paper), torchvision,
    smp:DECODER/ENCODER (such as smp:unet/resnet34). Ways: compile, channels_last,
    memory_efficient, onnx, onnx-int8, openvino, openvino-int8, pt2."""
    study: Literal["data"] | None = None
    """data: compare how fast images of --data are loaded and augmented with how fast training uses
    them."""
    data: str = "streets"
    """Data set for --study data: a name that comes with the package, a YAML file, or a folder."""
    data_root: str | None = None
    """Folder with the files of the data set; by default the root in its YAML, or data/NAME."""
    rounds: Count = 5
    """How often each network is timed, alternately; the median is reported."""
    seconds: NumberOrZero = 60.0
    """Start no further round after this time, once three rounds are done."""
    memory: bool = True
    """Measure peak memory too, of each network in a separate process."""
    threads: Processes | None = None
    """Threads on the CPU; by default one for each core, as torch chooses."""
    out: str = "benchmarks"
    """Folder for JSON and pictures."""
    overwrite: bool = False
    """Replace an earlier benchmark of the same name in the folder."""
    accelerator: Accelerator = "auto"
    """Device to compute on; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        check_ranges(self)
        for name in ("arch", "size", "batch", "contenders"):
            if getattr(self, name) == []:
                raise ValueError(explain(name, "[]", "one value or more"))
