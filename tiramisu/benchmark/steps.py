"""One step of a contender, ready to be timed."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from torch.utils.flop_counter import FlopCounterMode

from tiramisu.benchmark.contenders import EXPORTED, Case
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.export.formats import export_model
from tiramisu.inference.exported import load_exported
from tiramisu.models import DenseBlock, build_model
from tiramisu.models.reference import ReferenceFCDenseNet
from tiramisu.streets import draw_scene

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
MATRIX_SIDES = {"cpu": 2048, "mps": 2048, "cuda": 8192}  # see `make_matrix_products`
Step = Callable[[], object]
Infer = Callable[[], Tensor]
Forward = Callable[[Tensor], Tensor]


def load_contender(contender: str, case: Case, *, folder: Path) -> tuple[Step, Infer]:
    """Load a contender, without running it. An exported one has its file in the folder.

    Returns:
        A function for one step, which may return before a GPU is done; and one for the logits
        without dropout, to be called before the first step.
    """
    torch.backends.cudnn.benchmark = True
    source, *ways = contender.split("+")
    images = draw_images(case)
    if ways and ways[0] in EXPORTED:
        path = folder / f"{ways[0]}{EXPORTED[ways[0]]}"
        if not path.exists():
            _export(case, path, int8="int8" in ways[0])
        exported = load_exported(path)
        return (lambda: exported(images)), (lambda: exported(images))
    network = build_network(source, case, memory_efficient="memory_efficient" in ways)
    network, images = network.to(case.device), (images / 255).to(case.device)
    if source == "ours" or "channels_last" in ways:
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    forward: Forward = network
    if "compile" in ways:
        torch.compiler.reset()  # otherwise, after two cases it would compile for any shape
        forward = torch.compile(network)

    @torch.inference_mode()
    def infer() -> Tensor:
        with use_precision(case):
            # Only the training step itself is compiled.
            return forward(images) if case.mode == "infer" else network(images)

    if case.mode == "infer":
        return infer, infer
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    train_on = make_training_step(forward, F.cross_entropy, optimizer, case)
    generator = torch.Generator().manual_seed(0)
    pixels = (case.height, case.width) if case.entry.task == "segmentation" else ()
    shape = (case.batch, *pixels)
    labels = torch.randint(case.entry.num_classes, shape, generator=generator).to(case.device)

    def train() -> None:
        network.train()
        train_on(images, labels)

    return train, infer


def make_training_step(
    forward: Forward, loss: Callable[..., Tensor], optimizer: torch.optim.Optimizer, case: Case
) -> Callable[[Tensor, Tensor], None]:
    """A training step on images and labels: forward, loss, backward, and the optimiser's step."""
    scaler = torch.amp.GradScaler(case.device, enabled=case.precision == "fp16")

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        with use_precision(case):
            value = loss(forward(images).float(), labels)
        torch.autograd.backward(scaler.scale(value))
        scaler.step(optimizer)
        scaler.update()

    return step


def use_precision(case: Case) -> torch.autocast:
    """The context in which a network computes in the case's number format."""
    return torch.autocast(case.device, DTYPES[case.precision], case.precision != "fp32")


def make_matrix_products(case: Case) -> tuple[dict[str, Step], int]:
    """Products of two large matrices; the fastest shows what the machine reaches at most.

    On some processors a 1x1 convolution, channels last, with as many pixels and channels is twice
    as fast as `torch.mm`. Returns both, and the operations of each (a multiply-add is two).
    """
    side, dtype = MATRIX_SIDES[case.device], DTYPES[case.precision]
    left, right = (torch.randn(side, side, device=case.device).to(dtype) for _ in range(2))
    pixels = left.t().reshape(1, side, 32, side // 32)  # (side, side) -> (1, side, 32, side / 32)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    weight = right.reshape(side, side, 1, 1).contiguous(memory_format=torch.channels_last)
    products: dict[str, Step] = {
        "product by torch.mm": lambda: torch.mm(left, right),
        "product by convolution": lambda: F.conv2d(pixels, weight),
    }
    return products, 2 * side**3


def draw_images(case: Case) -> Tensor:
    """Drawn street scenes (B, 3, H, W), RGB uint8: the same for all, and no data set is needed."""
    size = {"height": case.height, "width": case.width}
    scenes = [torch.from_numpy(draw_scene(seed, **size)[0]) for seed in range(case.batch)]
    return torch.stack(scenes).permute(0, 3, 1, 2).contiguous()  # (B, H, W, 3) -> (B, 3, H, W)


def build_network(source: str, case: Case, *, memory_efficient: bool = False) -> nn.Module:
    """Build a contender's network, in evaluation mode, in fp32 on the CPU.

    Weights and batch norm are random, but the same for the sources ours, plain and torchvision:
    these compute the same function.
    """
    torch.manual_seed(0)
    classes = case.entry.num_classes
    if source.startswith("smp:"):
        return build_model(source, num_classes=classes).eval()
    ours = build_model(case.arch, num_classes=classes, memory_efficient=memory_efficient).eval()
    # A fresh batch norm does nothing in evaluation mode: the features of dense blocks would grow
    # layer by layer, and a network that leaves a norm out would give the same logits.
    for module in ours.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    update_bn([torch.rand(4, 3, 64, 64) for _ in range(2)], ours)
    if source == "ours":
        return ours
    if source == "torchvision":
        other: nn.Module = getattr(torchvision.models, case.arch)(memory_efficient=memory_efficient)
        other.load_state_dict(ours.state_dict())
        return other.eval()
    blocks = [module for module in ours.modules() if isinstance(module, DenseBlock)]
    block_layers = [len(list(block.children())) for block in blocks]
    reference = ReferenceFCDenseNet(
        block_layers=block_layers,
        growth_rate=blocks[0].new_channels // block_layers[0],
        stem_width=blocks[0].in_channels,
        num_classes=classes,
        dropout=0.2,
    )
    reference.copy_weights(ours)
    return reference.eval()


def count_multiply_adds(contender: str, case: Case) -> int:
    """Multiply-adds of the convolutions and linear layers of one step, counted without running it.

    A training step has those of both gradients too, but not what memory_efficient computes again.
    """
    is_training = case.mode == "train"
    network = build_network(contender.split("+")[0], case).to("meta").train(is_training)
    images = torch.empty(case.batch, 3, case.height, case.width, device="meta")
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(is_training):
        logits = network(images)
        if is_training:
            logits.sum().backward()
    return int(counter.get_total_flops()) // 2


def _export(case: Case, path: Path, *, int8: bool) -> None:
    names = tuple(f"class_{index}" for index in range(case.entry.num_classes))
    info = ModelInfo(arch=case.arch, class_names=names, colors=((0, 0, 0),) * len(names))
    model = SegmentationModel(build_network("ours", case), info).eval()
    export_model(model, path, calibration=[draw_images(case)] if int8 else (), int8=int8)
