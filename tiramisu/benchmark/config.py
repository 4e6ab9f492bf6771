"""The settings of the commands that use a trained network. No torch in this file.

As in `tiramisu.training.config`, a field here is a flag there.
"""

import dataclasses
from typing import Literal

from tiramisu.settings import Accelerator, require


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """A benchmark. With neither network, mode nor study, it is the standard set of comparisons."""

    arch: str | None = None
    """Network; by default fc103, or the standard set where nothing else is asked for."""
    mode: Literal["infer", "train"] | None = None
    """infer (a forward pass, the default) or train (a training step)."""
    size: tuple[int, int] | None = None
    """Height and width of images; by default those of the network's paper: [360,480] to infer and
    [224,224] to train with FC-DenseNets, [224,224] for DenseNets, [32,32] for those of CIFAR."""
    batch: int | None = None
    """Images a step; by default 1 to infer, and 3 (DenseNets 8) to train."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the computation; bf16 and fp16 are mixed precision."""
    contenders: list[str] | None = None
    """Who takes part, as SOURCE or SOURCE+WAY, the reference first: [plain,ours,ours+compile]. The
    sources: ours, plain, torchvision, smp:unet/resnet34; the ways: compile, channels_last,
    memory_efficient, onnx, onnx-int8, openvino, openvino-int8, pt2."""
    study: Literal["size", "depth", "batch", "tiles", "data"] | None = None
    """See how cost grows with size, depth or batch, or on large images in tiles; or whether loading
    and augmenting the images of `data` keeps up with training."""
    data: str = "streets"
    """Data set for `--study data`: a shipped name, a YAML file, or a folder."""
    data_root: str | None = None
    """Folder that holds the data set's files; by default data/NAME."""
    rounds: int = 5
    """Turns of each contender, of which the median counts."""
    seconds: float = 60.0
    """No further round after this time, but three at least."""
    memory: bool = True
    """Measure peak memory as well, each contender in a process of its own."""
    threads: int | None = None
    """Threads on the CPU; by default torch's choice, a thread a core."""
    out: str = "benchmarks"
    """Folder for JSON and pictures."""
    overwrite: bool = False
    """Replace an earlier benchmark of the same name in the folder."""
    accelerator: Accelerator = "auto"
    """Where to compute."""

    def __post_init__(self) -> None:
        require(self.batch is None or self.batch >= 1, "batch", self.batch, "1 or more")
        require(
            self.size is None or min(self.size) >= 32,
            "size",
            self.size,
            "sides of 32 pixels or more: the networks halve them five times",
        )
        require(
            self.contenders is None or len(self.contenders) >= 1,
            "contenders",
            self.contenders,
            "one or more",
        )
        require(self.rounds >= 1, "rounds", self.rounds, "1 or more")
        require(self.seconds >= 0, "seconds", self.seconds, "0 or more")
        require(self.threads is None or self.threads >= 1, "threads", self.threads, "1 or more")
