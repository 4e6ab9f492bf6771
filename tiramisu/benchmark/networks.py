"""The networks that meet, all of the same weights where they are the same network."""

import segmentation_models_pytorch
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tiramisu.benchmark.cases import Case
from tiramisu.benchmark.contenders import Contender
from tiramisu.models import DenseBlock, FCDenseNet, build_model
from tiramisu.models.reference import ReferenceFCDenseNet


class UnavailableError(Exception):
    """A contender cannot run here; the message is the reason, in a few words."""


class Padded(nn.Module):
    """Pads images to a multiple of 32 pixels and crops the logits, for networks that need it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        images = F.pad(images, (0, -width % 32, 0, -height % 32))
        return self.network(images)[..., :height, :width]


def build_network(contender: Contender, case: Case) -> nn.Module:
    """The network of a contender, in evaluation mode, in fp32 on the CPU.

    Ours, the plain one and torchvision's compute the same function.

    Raises:
        UnavailableError: the network is not on this machine.
    """
    efficient = "memory_efficient" in contender.ways
    if contender.source.startswith("smp:"):
        name, encoder = contender.source.removeprefix("smp:").split("/")
        torch.manual_seed(0)
        network = segmentation_models_pytorch.create_model(
            name, encoder_name=encoder, encoder_weights=None, classes=case.num_classes
        )
        return Padded(network).eval()
    ours = build_ours(case)
    if contender.source == "plain":
        assert isinstance(ours, FCDenseNet)
        return _build_plain(ours, case).eval()
    if contender.source == "torchvision":
        network = getattr(torchvision.models, case.arch)(memory_efficient=efficient)
    elif efficient:
        network = build_model(case.arch, num_classes=case.num_classes, memory_efficient=True)
    else:
        return ours
    network.load_state_dict(ours.state_dict())
    return network.eval()


def build_ours(case: Case) -> nn.Module:
    """Our network, in evaluation mode, with weights and statistics as if it had been trained.

    Fresh batch norm is the identity: dense blocks would grow their features without end, and a
    norm left out would go unnoticed. So its scales are random here, and its statistics measured.
    """
    torch.manual_seed(0)
    network = build_model(case.arch, num_classes=case.num_classes)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.1)
        norm.momentum = None  # a plain average
    network.train()
    with torch.no_grad():
        for _ in range(2):
            network(torch.rand(4, 3, 64, 64))
    for norm in norms:
        norm.momentum = 0.1
    return network.eval()


def count_multiply_adds(network: nn.Module, case: Case) -> int:
    """Multiply-adds of the convolutions and linear layers of one step, counted without running it.

    Of a training step these are the forward pass and both gradients; what a memory-efficient
    network computes twice counts once.
    """
    network = network.to("meta")
    images = torch.empty(case.batch, 3, case.height, case.width, device="meta")
    with FlopCounterMode(display=False) as counter:
        if case.mode == "train":
            network.train()(images).sum().backward()
        else:
            with torch.no_grad():
                network(images)
    return counter.get_total_flops() // 2


def _build_plain(ours: FCDenseNet, case: Case) -> nn.Module:
    blocks = [module for module in ours.modules() if isinstance(module, DenseBlock)]
    layers = [len(list(block.children())) for block in blocks]
    plain = ReferenceFCDenseNet(
        block_layers=layers,
        growth_rate=blocks[0].new_channels // layers[0],
        stem_width=blocks[0].in_channels,
        num_classes=case.num_classes,
        dropout=0.2,
    )
    plain.copy_weights(ours)
    return plain
