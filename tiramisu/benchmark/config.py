"""The settings of a benchmark: each field is a flag of `tiramisu benchmark`. No torch here."""

import dataclasses
from typing import Annotated, Any, Literal

from tiramisu.settings import Accelerator, Count, NumberOrZero, Range, check_ranges, explain

Side = Annotated[int, Range(at_least=32)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """A benchmark. Without arch, mode, size, batch, contenders and study: the README's comparisons.

    Raises:
        ValueError: a field is out of its range.
    """

    arch: list[str] | str | None = None
    """Network, or a list: [fc56,fc103]; by default fc103. With lists for arch, size and batch, all
    combinations are measured."""
    mode: Literal["infer", "train"] | None = None
    """infer (a forward pass, the default) or train (a training step)."""
    size: list[tuple[Side, Side]] | tuple[Side, Side] | None = None
    """Height and width of the images, [360,480], or a list: [[180,240],[360,480]]. By default those
    of the network's paper: [360,480] to infer and [224,224] to train with FC-DenseNets, [224,224]
    for DenseNets, [32,32] for the DenseNets of CIFAR."""
    batch: list[Count] | Count | None = None
    """Images in one step, or a list: [1,2,4]; by default 1 to infer, 3 (DenseNets: 8) to train."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the computation; bf16 and fp16 are mixed precision."""
    contenders: list[str] | None = None
    """What is compared, as SOURCE or SOURCE+WAY, the reference first: [plain,ours,ours+compile].
    The sources: ours, plain, torchvision, smp:DECODER/ENCODER (smp:unet/resnet34); the ways:
    compile, channels_last, memory_efficient, onnx, onnx-int8, openvino, openvino-int8, pt2."""
    study: str | None = None
    """data: measure whether loading and augmenting the images of --data keeps up with training."""
    data: str = "streets"
    """Data set for --study data: a shipped name, a YAML file, or a folder."""
    data_root: str | None = None
    """Folder with the files of the data set; by default data/NAME."""
    rounds: Count = 5
    """How often each contender has its turn; the median is reported."""
    seconds: NumberOrZero = 60.0
    """No further round begins after this time, but there are three at least."""
    memory: bool = True
    """Measure peak memory too, each contender in a process of its own."""
    threads: Count | None = None
    """Threads on the CPU; by default torch's choice, one for each core."""
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
        if self.study not in (None, "data"):
            lists = "--size [[180,240],[360,480]], --arch [fc56,fc67,fc103] or --batch [1,2,4]"
            expected = f"data; to see how time and memory grow give lists, such as {lists}"
            raise ValueError(explain("study", self.study, expected))


def as_list(value: Any) -> list[Any]:
    """A list as it is, a single value as a list of one."""
    return value if isinstance(value, list) else [value]
