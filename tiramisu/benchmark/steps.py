"""One step of a contender, ready to be timed."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiramisu.benchmark.cases import Case, Precision
from tiramisu.benchmark.contenders import EXPORTED, Contender
from tiramisu.benchmark.networks import (
    UnavailableError,
    build_network,
    build_ours,
    count_multiply_adds,
)
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.export.formats import export_model
from tiramisu.inference.exported import SUFFIX_OF, load_exported
from tiramisu.streets import draw_scene

Network = Callable[[Tensor], Tensor]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ready:
    """A contender that is loaded."""

    step: Callable[[], object]
    """Does one step; on a GPU it may return before the step is done."""
    infer: Callable[[], Tensor]
    """Logits of the images, in evaluation mode, where dropout is off: call it before `step`."""
    compiles: bool = False
    """Whether the first step compiles."""


def draw_images(case: Case) -> Tensor:
    """Street scenes (B, 3, H, W), RGB uint8: no data set is needed, and all see the same."""
    scenes = [
        torch.from_numpy(draw_scene(seed, height=case.height, width=case.width)[0])
        for seed in range(case.batch)
    ]
    return torch.stack(scenes).permute(0, 3, 1, 2).contiguous()  # (B, H, W, 3) -> (B, 3, H, W)


def prepare(contender: Contender, case: Case, *, file: Path | None = None) -> Ready:
    """Load a contender. Nothing is run yet.

    Args:
        contender: who.
        case: at what; `check_contender` has found that the two go together.
        file: what `export` made for this contender, for one that runs a file.

    Raises:
        UnavailableError: it cannot run on this machine.
    """
    torch.backends.cudnn.benchmark = True
    if contender.exported is not None:
        assert file is not None, "an exported contender runs a file"
        return _prepare_file(case, file)
    network = build_network(contender, case).to(case.device)
    images = (draw_images(case) / 255).to(case.device)
    if contender.source == "ours" or "channels_last" in contender.ways:
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    runner: Network = network
    compiles = "compile" in contender.ways
    if compiles:
        torch.compiler.reset()  # or shapes of earlier cases would be generalised over
        runner = torch.compile(network)

    infer = _inference(runner if case.mode == "infer" else network, images, case)
    step = infer if case.mode == "infer" else _training(network, runner, images, case)
    return Ready(step=step, infer=infer, compiles=compiles)


def count_work(contender: Contender, case: Case) -> int:
    """Multiply-adds of one step of a contender."""
    plain_ways = dataclasses.replace(contender, ways=())
    return count_multiply_adds(build_network(plain_ways, case), case)


def export(contender: Contender, case: Case, folder: Path) -> tuple[Path, float]:
    """Write the file that an exported contender runs; returns its path and the seconds it took.

    Raises:
        UnavailableError: what the export needs is not installed.
    """
    way = contender.exported
    assert way is not None, "only what runs a file is exported"
    path = folder / f"{case.arch}-{way}" / f"model{SUFFIX_OF[EXPORTED[way]]}"
    path.parent.mkdir(exist_ok=True)
    num_classes = case.num_classes
    info = ModelInfo(
        arch=case.arch,
        class_names=tuple(f"class_{index}" for index in range(num_classes)),
        colors=tuple((index, index, index) for index in range(num_classes)),
    )
    model = SegmentationModel(build_ours(case), info).eval()
    started = time.perf_counter()
    int8 = way.endswith("int8")
    try:
        export_model(model, path, calibration=[draw_images(case)] if int8 else (), int8=int8)
    except ValueError as error:
        raise UnavailableError(first_line(error)) from error
    return path, time.perf_counter() - started


def _prepare_file(case: Case, file: Path) -> Ready:
    try:
        model = load_exported(file)
    except ValueError as error:
        raise UnavailableError(first_line(error)) from error
    images = draw_images(case)

    def infer() -> Tensor:
        return model(images)

    return Ready(step=infer, infer=infer)


def _inference(network: Network, images: Tensor, case: Case) -> Callable[[], Tensor]:
    @torch.inference_mode()
    def infer() -> Tensor:
        with _autocast(case.device, case.precision):
            return network(images)

    return infer


def _training(
    network: nn.Module, runner: Network, images: Tensor, case: Case
) -> Callable[[], object]:
    """Cross-entropy and AdamW."""
    learn = make_training_step(
        runner,
        optimizer=torch.optim.AdamW(network.parameters(), lr=1e-4),
        loss=lambda logits, labels: F.cross_entropy(logits.float(), labels),
        device=case.device,
        precision=case.precision,
    )
    generator = torch.Generator().manual_seed(0)
    shape = (case.batch, case.height, case.width) if case.segments else (case.batch,)
    labels = torch.randint(case.num_classes, shape, generator=generator).to(case.device)

    def train() -> None:
        network.train()
        learn(images, labels)

    return train


def make_training_step(
    network: Network,
    *,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[Tensor, Tensor], Tensor],
    device: str,
    precision: Precision,
) -> Callable[[Tensor, Tensor], None]:
    """Gradients to zero, forward, loss, backward, optimiser's step, on images and labels."""
    scaler = torch.amp.GradScaler(device, enabled=precision == "fp16")

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        with _autocast(device, precision):
            value = loss(network(images), labels)
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()

    return step


def _autocast(device: str, precision: Precision) -> torch.autocast:
    return torch.autocast(device, DTYPES[precision], enabled=precision != "fp32")


def first_line(error: Exception) -> str:
    """What an error says, in short."""
    return (str(error).splitlines() or [type(error).__name__])[0]
