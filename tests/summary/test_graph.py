import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from tiramisu.models import DenseNet, FCDenseNet, build_model
from tiramisu.summary.graph import NetworkGraph, Node, graph_network


def make_network(num_blocks: int) -> FCDenseNet:
    with torch.device("meta"):
        return FCDenseNet(
            growth_rate=4,
            down_blocks=(2, 3, 4)[:num_blocks],
            bottleneck_layers=5,
            up_blocks=(4, 3, 2)[-num_blocks:],
            stem_width=8,
            num_classes=3,
        )


def nodes_of(graph: NetworkGraph) -> dict[str, Node]:
    return {node.name: node for node in graph.nodes}


def test_skips_of_three_blocks() -> None:
    graph = graph_network(make_network(3), height=40, width=48)
    assert {(edge.source, edge.target, edge.channels) for edge in graph.skips} == {
        ("features.denseblock1", "decoder.denseblock3", 8 + 2 * 4),
        ("features.denseblock2", "decoder.denseblock2", 8 + 5 * 4),
        ("features.denseblock3", "decoder.denseblock1", 8 + 9 * 4),
    }
    # The rest is one chain: a transition up reads the stack below it, and the skip's size alone.
    chain = [(edge.source, edge.target) for edge in graph.edges if not edge.skip]
    names = [node.name for node in graph.nodes]
    assert chain == list(pairwise(names))


def test_nodes_of_two_blocks() -> None:
    graph = graph_network(make_network(2), height=36, width=48)
    assert [(n.kind, n.channels, n.size, n.stride) for n in graph.nodes] == [
        ("input", 3, (36, 48), 1),
        ("convolution", 8, (36, 48), 1),
        ("dense block", 16, (36, 48), 1),
        ("transition down", 16, (18, 24), 2),
        ("dense block", 28, (18, 24), 2),
        ("transition down", 28, (9, 12), 4),
        ("dense block", 48, (9, 12), 4),
        ("transition up", 20, (18, 24), 2),
        ("dense block", 28 + 20 + 3 * 4, (18, 24), 2),
        ("transition up", 12, (36, 48), 1),
        ("dense block", 16 + 12 + 2 * 4, (36, 48), 1),
        ("convolution", 3, (36, 48), 1),
        ("output", 3, (36, 48), 1),
    ]
    blocks = [node for node in graph.nodes if node.kind == "dense block"]
    assert [node.layers for node in blocks] == [2, 3, 5, 3, 2]
    assert {node.growth_rate for node in blocks} == {4}
    assert len(graph.skips) == 2
    assert graph.parameters == sum(p.numel() for p in make_network(2).parameters())


def test_strides_hold_where_sizes_are_rounded() -> None:
    with torch.device("meta"):
        network = build_model("fc56", num_classes=3)
    # 45 -> 22 -> 11 -> 5 -> 2 -> 1: the last ratio is 45, the stride 32.
    graph = graph_network(network, height=45, width=61)
    bottom = nodes_of(graph)["bottleneck"]
    assert bottom.size == (1, 1)
    assert bottom.stride == 32


def test_a_classifier_is_a_chain() -> None:
    with torch.device("meta"):
        network = build_model("densenet121", num_classes=10)
    graph = graph_network(network, height=224, width=224)
    assert not graph.skips
    nodes = nodes_of(graph)
    assert nodes["features.conv0"].stride == 2
    assert nodes["features.pool0"].title == "3x3 max pool"
    assert nodes["features.denseblock3"].growth_rate == 32
    assert nodes["features.denseblock3"].detail == "24 layers, growth rate 32"
    assert nodes["features.denseblock4"].stride == 32
    assert graph.nodes[-3].title == "Global average pool"
    assert graph.nodes[-2].kind == "linear"
    assert (nodes["output"].channels, nodes["output"].size, nodes["output"].stride) == (
        10,
        (),
        None,
    )


def test_a_volume_has_depth() -> None:
    with torch.device("meta"):
        network = DenseNet(growth_rate=4, block_config=(2, 2), dims=3, in_channels=1, num_classes=5)
    graph = graph_network(network, depth=16, height=32, width=40)
    nodes = nodes_of(graph)
    assert nodes["input"].size == (16, 32, 40)
    assert nodes["features.transition1"].size == (2, 4, 5)
    assert nodes["features.transition1"].stride == 8
    assert nodes["features.transition1"].detail == "1x1x1 conv, 2x2x2 average pool"


class Branches(nn.Module):
    """Someone else's network: features added, concatenated, changed in place, channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.unused = nn.Conv2d(8, 8, 1)
        self.last = nn.Sequential(nn.Conv2d(16, 6, 1), nn.ReLU())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        first = self.first(images)
        second = self.second(first)
        both = torch.cat([first, second], dim=1).relu_()
        return {"out": self.last(both) + images.mean()}


def test_edges_follow_operations_between_the_parts() -> None:
    graph = graph_network(Branches(), height=8, width=8)
    edges = {(edge.source, edge.target, edge.skip) for edge in graph.edges}
    assert edges == {
        ("input", "first", False),
        ("first", "second.0", False),
        ("first", "last.0", True),
        ("second.0", "last.0", False),
        ("last.0", "output", False),
        ("input", "output", True),
    }


def test_foreign_networks_are_opened_as_far_as_fits() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    with torch.device("meta"):
        network = smp.Unet("resnet50", encoder_weights=None, classes=4)
    graph = graph_network(network, height=64, width=64)
    skips = {(edge.source, edge.target) for edge in graph.skips}
    assert skips == {
        ("encoder.conv1", "decoder.blocks.3"),
        ("encoder.layer1", "decoder.blocks.2"),
        ("encoder.layer2", "decoder.blocks.1"),
        ("encoder.layer3", "decoder.blocks.0"),
    }
    assert nodes_of(graph)["encoder.layer4"].stride == 32
    assert len(graph.nodes) < 25


def test_channels_may_come_last() -> None:
    from torchvision.models import swin_t

    with torch.device("meta"):
        network = swin_t(weights=None)
    nodes = nodes_of(graph_network(network, height=64, width=64))
    block = nodes["features.3"]
    assert (block.channels, block.size, block.stride) == (192, (8, 8), 8)


def test_leaves_the_model_as_it_was() -> None:
    model = build_model("fc56", num_classes=3).train()
    before = copy.deepcopy(model.state_dict())
    graph_network(model, height=32, width=32)
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_wrapped_network_of_ours_in_theirs() -> None:
    with torch.device("meta"):
        network = build_model("unet:densenet121", num_classes=4)
    graph = graph_network(network, height=64, width=64)
    assert graph.network == "Unet"
    skips = {
        (edge.source.rpartition(".")[2], edge.target.rpartition(".")[2]) for edge in graph.skips
    }
    assert skips == {("conv0", "3"), *((f"denseblock{i}", str(3 - i)) for i in (1, 2, 3))}
    assert graph.parameters == sum(p.numel() for p in network.parameters())
