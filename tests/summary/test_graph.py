import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from tiramisu.models import DenseNet, FCDenseNet, build_model
from tiramisu.summary.network_parts import Part
from tiramisu.summary.tables import Edge, Summary, graph_network, summarize


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


def nodes(graph: Summary) -> list[Part]:
    return [part for part in graph.parts if part.kind != "other"]


def nodes_of(graph: Summary) -> dict[str, Part]:
    return {node.name: node for node in nodes(graph)}


def find_skips(graph: Summary) -> list[Edge]:
    return [edge for edge in graph.edges if edge.skip]


def test_skips_of_three_blocks() -> None:
    graph = graph_network(make_network(3), height=40, width=48)
    channels = {part.name: part.channels for part in graph.parts}
    assert {(edge.source, edge.target, channels[edge.source]) for edge in find_skips(graph)} == {
        ("features.denseblock1", "decoder.denseblock3", 8 + 2 * 4),
        ("features.denseblock2", "decoder.denseblock2", 8 + 5 * 4),
        ("features.denseblock3", "decoder.denseblock1", 8 + 9 * 4),
    }
    # The rest is one chain: a transition up reads the stack below it, and the skip's size alone.
    chain = [(edge.source, edge.target) for edge in graph.edges if not edge.skip]
    names = [node.name for node in nodes(graph)]
    assert chain == list(pairwise(names))


def test_nodes_of_two_blocks() -> None:
    graph = graph_network(make_network(2), height=36, width=48)
    assert [(n.kind, n.channels, n.size, n.stride) for n in nodes(graph)] == [
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
    blocks = [node for node in nodes(graph) if node.kind == "dense block"]
    assert [node.layers for node in blocks] == [2, 3, 5, 3, 2]
    assert [node.detail for node in blocks][:2] == [
        "2 layers, growth rate 4",
        "3 layers, growth rate 4",
    ]
    assert len(find_skips(graph)) == 2
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
    assert not find_skips(graph)
    named = nodes_of(graph)
    assert named["features.conv0"].stride == 2
    assert named["features.pool0"].words == "3x3 max pool"
    assert named["features.denseblock3"].detail == "24 layers, growth rate 32"
    assert named["features.denseblock4"].stride == 32
    assert nodes(graph)[-3].words == "global average pool"
    assert nodes(graph)[-2].kind == "linear"
    assert (named[".output"].channels, named[".output"].size, named[".output"].stride) == (
        10,
        (),
        None,
    )


def test_a_volume_has_depth() -> None:
    with torch.device("meta"):
        network = DenseNet(growth_rate=4, block_config=(2, 2), dims=3, in_channels=1, num_classes=5)
    graph = graph_network(network, depth=16, height=32, width=40)
    named = nodes_of(graph)
    assert named[".input"].size == (16, 32, 40)
    assert named["features.transition1"].size == (2, 4, 5)
    assert named["features.transition1"].stride == 8
    assert named["features.transition1"].detail == "1x1x1 conv, 2x2x2 average pool"


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
        (".input", "first", False),
        ("first", "second.0", False),
        ("first", "last.0", True),
        ("second.0", "last.0", False),
        ("last.0", ".output", False),
        (".input", ".output", True),
    }


def test_foreign_networks_are_opened_as_far_as_fits() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    with torch.device("meta"):
        network = smp.Unet("resnet50", encoder_weights=None, classes=4)
    graph = graph_network(network, height=64, width=64)
    skips = {(edge.source, edge.target) for edge in find_skips(graph)}
    assert skips == {
        ("encoder.conv1", "decoder.blocks.3"),
        ("encoder.layer1", "decoder.blocks.2"),
        ("encoder.layer2", "decoder.blocks.1"),
        ("encoder.layer3", "decoder.blocks.0"),
    }
    assert nodes_of(graph)["encoder.layer4"].stride == 32
    assert len(nodes(graph)) < 25


def test_channels_may_come_last() -> None:
    from torchvision.models import swin_t

    with torch.device("meta"):
        network = swin_t(weights=None)
    named = nodes_of(graph_network(network, height=64, width=64))
    block = named["features.3"]
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
        (edge.source.rpartition(".")[2], edge.target.rpartition(".")[2])
        for edge in find_skips(graph)
    }
    assert skips == {("conv0", "3"), *((f"denseblock{i}", str(3 - i)) for i in (1, 2, 3))}
    assert graph.parameters == sum(p.numel() for p in network.parameters())


class Ends(nn.Module):
    """Modules whose names are those of a graph's ends."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Conv2d(3, 4, 1)
        self.output = nn.Conv2d(4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.output(self.input(images))
        return logits


def test_modules_may_be_called_input_and_output() -> None:
    graph = graph_network(Ends(), height=8, width=8)
    assert [part.name for part in graph.parts] == [".input", "input", "output", ".output"]
    assert [edge[:2] for edge in graph.edges] == list(
        pairwise([".input", "input", "output", ".output"])
    )


def test_a_module_that_runs_twice_is_one_part() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared = nn.Conv2d(3, 3, 3, padding=1)
            self.between = nn.Conv2d(3, 3, 1)

        def forward(self, images: Tensor) -> Tensor:
            again: Tensor = self.shared(self.between(self.shared(images)))
            return again

    graph = graph_network(Twice(), height=8, width=8)
    # What "shared" reads of "between" would be a loop.
    assert {edge[:2] for edge in graph.edges} == {
        (".input", "shared"),
        ("shared", "between"),
        ("shared", ".output"),
    }
    row = nodes_of(graph)["shared"]
    assert row.multiply_adds == 2 * 3 * 3 * 9 * 64


def test_upsampling_and_pooling_are_told_apart() -> None:
    from torchvision.ops import Permute

    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.MaxPool2d(2),
        nn.Upsample(scale_factor=4),
        Permute([0, 1, 3, 2]),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(1),
    )
    graph = graph_network(network, height=8, width=12)
    assert [part.kind for part in graph.parts] == [
        "input",
        "convolution",
        "pooling",
        "upsampling",
        "pooling",
        "output",
    ]
    # Larger than the input, and of one size whatever the input, there is no stride.
    assert [part.stride for part in graph.parts] == [1, 1, 2, None, None, None]


def test_a_network_of_one_size_has_strides_too() -> None:
    class OneSize(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, stride=4)
            self.position = nn.Parameter(torch.zeros(1, 8, 4, 4))

        def forward(self, images: Tensor) -> Tensor:
            tokens: Tensor = self.patches(images) + self.position
            return tokens

    part = nodes_of(graph_network(OneSize(), height=16, width=16))["patches"]
    assert (part.size, part.stride) == ((4, 4), 4)
    assert summarize(OneSize(), height=16, width=16).parts[-1].parameters == 8 * 16
