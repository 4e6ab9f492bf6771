"""What is compared: a contender is a network run in some way, a case is what all of them run."""

import dataclasses
from typing import Literal

import torch
import torchvision

from tiramisu.devices import check_precision
from tiramisu.inference.whole_images import check_batch
from tiramisu.models.smp import split_name
from tiramisu.models.zoo import ZooEntry, build_model, find_entry

SOURCES = ("ours", "plain", "torchvision", "smp:DECODER/ENCODER")
"""This package's network; the literal FC-DenseNet of `tiramisu.models.reference`; torchvision's
DenseNet; a network of segmentation-models-pytorch, such as smp:unet/resnet34."""
EXPORTED = {"onnx": ".onnx", "onnx-int8": ".onnx", "openvino": ".xml", "openvino-int8": ".xml",
            "pt2": ".pt2"}  # fmt: skip
"""Ways that run an exported file, and how its name ends; int8 is quantised."""
WAYS = ("compile", "channels_last", "memory_efficient", *EXPORTED)
"""compile is torch.compile, channels_last is how ours always runs, memory_efficient computes
activations again in the backward pass. Without a way, a network runs in PyTorch's eager mode."""
Mode = Literal["infer", "train"]
Precision = Literal["fp32", "bf16", "fp16"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One step of one network, which every contender of a comparison runs."""

    arch: str  # name of the network, as for `build_model`
    mode: Mode  # infer: forward pass; train: also cross-entropy, backward pass, and an AdamW step
    batch: int  # images in one step
    height: int  # of the images, in pixels
    width: int
    precision: Precision = "fp32"  # bf16 and fp16 by autocast: the weights stay in fp32
    device: str = "cpu"  # cpu, cuda or mps
    threads: int = 1  # on the CPU

    @property
    def entry(self) -> ZooEntry:
        """The network's task, and the number of classes in its paper."""
        return find_entry(self.arch)

    @property
    def size(self) -> str:
        """Height and width in words."""
        return f"{self.height}x{self.width}"

    @property
    def title(self) -> str:
        """The case in one line."""
        mode = "inference" if self.mode == "infer" else "training step"
        where = f"{self.threads} threads" if self.device == "cpu" else self.device
        return f"{self.arch} {mode}, {self.batch}x3x{self.size}, {self.precision}, {where}"


def check_case(case: Case) -> None:
    """Raise ValueError if this machine cannot run a case: for want of a GPU, or of memory."""
    device = torch.device(case.device)
    check_precision(case.precision, device)
    check_batch(
        build_model(case.arch, num_classes=case.entry.num_classes),
        size=(case.height, case.width),
        batch=case.batch,
        precision=case.precision,
        device=device,
        flags=f"--batch {case.batch} with --size [{case.height},{case.width}]",
    )


def check_contender(contender: str, case: Case) -> None:
    """Raise ValueError if a contender is unknown, or can never run a case, on any machine."""
    source, *ways = contender.split("+")
    is_smp = source.startswith("smp:")
    if is_smp:
        split_name(source)  # raises ValueError for unknown names
    known = (is_smp or source in SOURCES) and set(ways) <= set(WAYS) and len(set(ways)) == len(ways)
    exported = next((way for way in ways if way in EXPORTED), None)
    if not known:
        problem = (
            "is unknown; expected SOURCE or SOURCE+WAY, with the sources "
            f"{', '.join(SOURCES)} and the ways {', '.join(WAYS)}"
        )
    elif (source == "plain" or is_smp) and case.entry.task != "segmentation":
        problem = f"is a segmentation network, and {case.arch} is not; leave it out"
    elif source == "torchvision" and not hasattr(torchvision.models, case.arch):
        problem = f"is not possible: torchvision has no {case.arch}; leave it out"
    elif "memory_efficient" in ways and source not in ("ours", "torchvision"):
        problem = "is not possible: only ours and torchvision have memory_efficient"
    elif exported and contender != f"ours+{exported}":
        problem = f"is not possible: only ours is exported; write ours+{exported}"
    elif exported and not can_export(case):
        problem = f"runs the inference of segmentation networks in fp32, not {case.title}"
    else:
        return
    raise ValueError(f"--contenders: {contender!r} {problem}")


def can_export(case: Case) -> bool:
    """Whether an exported file can run a case."""
    return case.entry.task == "segmentation" and case.mode == "infer" and case.precision == "fp32"


def default_contenders(case: Case) -> list[str]:
    """The reference first, then the ways to run our network."""
    ours = ["ours", "ours+memory_efficient" if case.mode == "train" else "ours+compile"]
    if can_export(case):
        ours += ["ours+onnx", "ours+openvino", "ours+openvino-int8"]
    if case.entry.task == "segmentation":
        return ["plain", *ours]
    known = hasattr(torchvision.models, case.arch)
    return ["torchvision", "torchvision+channels_last", *ours] if known else ours
