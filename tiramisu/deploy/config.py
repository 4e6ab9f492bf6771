"""The settings of the commands that use a trained network. No torch in this file.

As in `tiramisu.engine.config`, a field here is a flag there.
"""

import dataclasses
from typing import Literal

from tiramisu.engine.config import Accelerator, require


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """A prediction on images or videos."""

    checkpoint: str
    """Run's folder, model.safetensors, .ckpt, exported .onnx, .xml or .pt2, a shipped model's name,
    or hf://USER/NAME."""
    out: str = "predictions"
    """Folder for masks, overlays and JSON."""
    tile: int | Literal["auto", "off"] = "auto"
    """Side of overlapping tiles, in pixels; auto tiles only what memory would not hold whole, off
    nothing."""
    tta: bool = False
    """Test-time augmentation: average over scales 0.75, 1 and 1.25, each also mirrored."""
    uncertainty: bool = False
    """Monte Carlo dropout: predict the mean of several passes with random dropout, and write
    pictures of the entropy and of the mutual information (where the passes disagree)."""
    mc_dropout: int | None = None
    """Number of those passes; by default 20."""
    overwrite: bool = False
    """Replace earlier predictions in the folder."""
    accelerator: Accelerator = "auto"
    """Where to compute."""

    @property
    def passes(self) -> int:
        """Passes with random dropout; 0 for one without."""
        return (self.mc_dropout or 20) if self.uncertainty else 0

    def __post_init__(self) -> None:
        require(
            self.mc_dropout is None or self.mc_dropout >= 2,
            "mc_dropout",
            self.mc_dropout,
            "2 passes or more",
        )
        if self.mc_dropout is not None and not self.uncertainty:
            raise ValueError("--mc-dropout is the number of passes of --uncertainty: give both")
        if self.tta and self.uncertainty:
            raise ValueError("--tta and --uncertainty average in two ways; give one of them")
        require(
            isinstance(self.tile, str) or self.tile >= 64,
            "tile",
            self.tile,
            "64 or more, auto or off",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifyConfig:
    """A classification of images."""

    checkpoint: str
    """Run's folder, model.safetensors, .ckpt, exported .onnx, .xml or .pt2, a shipped model's name,
    or hf://USER/NAME."""
    out: str = "predictions"
    """Folder for classes.csv and classes.json."""
    top: int = 5
    """Classes to name for each image, the likeliest first."""
    batch_size: int = 16
    """Images at a time."""
    overwrite: bool = False
    """Replace earlier predictions in the folder."""
    accelerator: Accelerator = "auto"
    """Where to compute."""

    def __post_init__(self) -> None:
        require(self.top >= 1, "top", self.top, "1 or more")
        require(self.batch_size >= 1, "batch_size", self.batch_size, "1 or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """An export of a trained model."""

    checkpoint: str
    """Run's folder, model.safetensors, .ckpt, a shipped model's name, or hf://USER/NAME."""
    format: Literal["onnx", "openvino", "pt2"] = "onnx"
    """onnx (ONNX Runtime and many others), openvino (the fastest on Intel and AMD processors) or
    pt2 (torch.export)."""
    int8: bool = False
    """Compute in 8-bit integers, calibrated on the data set; onnx and openvino only."""
    data: str | None = None
    """Data set for int8: a shipped name, a YAML file, or a folder; by default that trained on."""
    data_root: str | None = None
    """Folder that holds the data set's files; by default data/NAME."""
    train_split: str = "train"
    """Split whose images calibrate int8."""
    samples: int = 100
    """Images that calibrate int8, drawn at random."""
    seed: int = 0
    """Of that draw."""
    val_split: str = "val"
    """Split on which the loss in mean IoU (of classifiers, in top-1) is measured."""
    limit: int | None = None
    """Measure it on this many images of the split, spread evenly, not on all."""
    out: str | None = None
    """File to write; by default model.onnx, model.xml or model.pt2 in the run's folder, and
    model_int8.* for int8."""
    overwrite: bool = False
    """Replace an earlier export."""

    def __post_init__(self) -> None:
        require(self.samples >= 1, "samples", self.samples, "1 or more")
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        require(self.limit is None or self.limit >= 1, "limit", self.limit, "1 or more")
        if self.int8 and self.format == "pt2":
            raise ValueError(
                "--int8 --format pt2: torch runs int8 fast only after compiling it with a C++ "
                "compiler on the user's machine; export int8 as onnx or openvino"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishConfig:
    """A trained model in Hugging Face's layout."""

    checkpoint: str
    """Run's folder, model.safetensors, .ckpt, a shipped model's name, or hf://USER/NAME."""
    out: str | None = None
    """Folder to write model.safetensors, config.json and the model card README.md to."""
    push: str | None = None
    """USER/NAME on Hugging Face's Hub to upload them to; log in by `hf auth login` before."""
    half: bool = False
    """Store the weights in 16 bit, half the size; they are computed with in 32, as before. Batch
    norm keeps its 32."""
    private: bool = False
    """Keep a new repository on the Hub to yourself."""
    overwrite: bool = False
    """Replace an earlier model and its card in the folder."""

    def __post_init__(self) -> None:
        if self.out is None and self.push is None:
            raise ValueError("say where to publish: --out FOLDER, --push USER/NAME, or both")


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
