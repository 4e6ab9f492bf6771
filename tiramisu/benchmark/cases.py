"""At what the contenders meet: which network, which step, which size, which precision."""

import dataclasses
from typing import Literal

from tiramisu.models.zoo import find_entry

Mode = Literal["infer", "train"]
Precision = Literal["fp32", "bf16", "fp16"]

MODES = {"infer": "inference", "train": "training step"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One step of one network, as every contender of a comparison runs it."""

    arch: str
    """Name of the network, as `build_model` knows it."""
    mode: Mode
    """Inference: a forward pass in evaluation mode. Training: gradients to zero, forward,
    cross-entropy, backward, AdamW step."""
    batch: int
    """Images a step."""
    height: int
    """Of the images, in pixels."""
    width: int
    """As `height`."""
    precision: Precision = "fp32"
    """Number format; bf16 and fp16 by autocast, the weights stay in fp32."""
    device: str = "cpu"
    """cpu, cuda or mps."""
    threads: int = 1
    """Threads that a step uses on the CPU."""

    @property
    def segments(self) -> bool:
        """Whether the logits label every pixel, or the whole image."""
        return find_entry(self.arch).task == "segmentation"

    @property
    def num_classes(self) -> int:
        """As many as in the network's paper: CamVid's 11, ImageNet's 1000, CIFAR's 10."""
        return find_entry(self.arch).num_classes

    @property
    def title(self) -> str:
        """The case in one line."""
        shape = f"{self.batch}x3x{self.height}x{self.width}"
        where = f"{self.threads} threads" if self.device == "cpu" else self.device
        return f"{self.arch} {MODES[self.mode]}, {shape}, {self.precision}, {where}"

    @property
    def slug(self) -> str:
        """The case as part of a file's name."""
        shape = f"{self.batch}x{self.height}x{self.width}"
        return f"{self.arch}_{self.mode}_{shape}_{self.precision}_{self.device}"


def default_size(arch: str, mode: Mode) -> tuple[int, int]:
    """Height and width at which a network is met in its paper: FC-DenseNets train on crops."""
    entry = find_entry(arch)
    return (224, 224) if entry.task == "segmentation" and mode == "train" else entry.size


def default_batch(arch: str, mode: Mode) -> int:
    """The paper trains FC-DenseNets on 3 crops at a time."""
    if mode == "infer":
        return 1
    return 3 if find_entry(arch).task == "segmentation" else 8
