"""What users of timm expect of a network: parts of the forward pass, a new classifier, groups."""

import re
from collections import defaultdict
from itertools import chain

import pytest
import torch
from tiny_networks import tiny_fcdensenet
from torch import nn

from tiramisu.models import Backbone, DenseNet, FCDenseNet, build_model, densenet121, fc_densenet56
from tiramisu.models.blocks import DenseBlock, TransitionDown
from tiramisu.models.fast.choice import choose_way
from tiramisu.models.network import WITH_THE_LAST


def classifier(**options) -> DenseNet:
    return DenseNet(growth_rate=4, block_config=(2, 1), **({"num_classes": 3} | options))


def segmenter(**options) -> FCDenseNet:
    return tiny_fcdensenet(**({"num_classes": 3} | options))


@pytest.mark.parametrize(
    "network",
    [
        classifier(),
        classifier(activation="silu", head="embedding"),
        classifier(head=None),
        classifier(dims=3),
        segmenter(),
    ],
    ids=["linear", "embedding", "no head", "volumes", "segmentation"],
)
def test_the_two_halves_make_the_whole(network) -> None:
    network.eval()
    images = torch.rand(2, 3, *[24] * network.dims)
    features = network.forward_features(images)
    assert features.shape[:2] == (2, network.num_features)
    torch.testing.assert_close(network.forward_head(features), network(images))
    before = network.forward_head(features, pre_logits=True)
    torch.testing.assert_close(network.get_classifier()(before), network(images))
    if isinstance(network, DenseNet):
        assert before.shape == (2, network.num_features)
        torch.testing.assert_close(features, Backbone(network)(images)[-1])
    with pytest.raises(ValueError, match="the input has the shape"):
        network.forward_features(images[0])


@pytest.mark.parametrize("head", ["linear", "mlp", "embedding"])
def test_a_new_classifier(head) -> None:
    none_yet = classifier(head=None)
    none_yet.reset_classifier(7)
    assert isinstance(none_yet.classifier, nn.Linear)
    network = classifier(head=head, dtype=torch.float64).eval().freeze("classifier")
    kind = type(network.get_classifier())
    features = [p.clone() for p in network.features.parameters()]
    network.reset_classifier(7)
    images = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    assert network(images).shape == (2, network.num_classes) == (2, 7)
    new = network.get_classifier()
    assert type(new) is kind
    assert all(p.requires_grad and p.dtype == torch.float64 for p in new.parameters())
    assert not any(module.training for module in new.modules())
    assert all(map(torch.equal, features, network.features.parameters()))
    network.reset_classifier(0)
    assert network(images).shape == (2, network.num_classes) == (2, network.num_features)
    network.reset_classifier(5)
    assert network(images).shape == (2, 5)
    with pytest.raises(ValueError, match="num_classes is -1; expected a whole number"):
        network.reset_classifier(-1)


def test_a_new_classifier_for_segmentation() -> None:
    network = segmenter(device="meta")
    network.reset_classifier(7)
    assert network.classifier.weight.is_meta
    network = segmenter()
    network.reset_classifier(7)
    assert network.num_classes == 7
    assert network(torch.rand(1, 3, 16, 16)).shape == (1, 7, 16, 16)
    assert not network.classifier.bias.any()
    with pytest.raises(ValueError, match="num_classes is 0"):
        network.reset_classifier(0)
    backbone = Backbone(classifier())
    with pytest.raises(ValueError, match="no part 'classifier' that computes logits"):
        backbone.reset_classifier(7)


@pytest.mark.parametrize("build", [classifier, segmenter])
def test_checkpointing_changes_no_gradient(build) -> None:
    network = build(activation="silu").double().train()  # for ReLU, a CPU always does it
    images = torch.rand(2, 3, 16, 24, dtype=torch.float64)

    def gradients() -> list[torch.Tensor]:
        network.zero_grad()
        network(images).square().sum().backward()
        return [p.grad.clone() for p in network.parameters()]

    expected = gradients()
    network.set_grad_checkpointing()
    blocks = [m for m in network.modules() if isinstance(m, DenseBlock | TransitionDown)]
    assert all(choose_way(block, [images]) == "recomputing" for block in blocks)
    torch.testing.assert_close(gradients(), expected)
    network.set_grad_checkpointing(False)
    assert all(choose_way(block, [images]) == "plain" for block in blocks)


def group(network: nn.Module, *, coarse: bool) -> list[list[str]]:
    """Layers in the groups of a matcher, the first first; as timm sorts them."""
    groups = defaultdict(list)
    rules = []
    for place, patterns in enumerate(network.group_matcher(coarse=coarse).values()):
        for pattern, suffix in [(patterns, None)] if isinstance(patterns, str) else patterns:
            rules.append((pattern, place, suffix))
    for name, _ in network.named_parameters():
        key = (float("inf"),)
        for pattern, place, suffix in rules:
            if match := re.match(pattern, name):
                numbers = map(int, match.groups())
                key = tuple(chain((place,), numbers, suffix or ()))
                break
        layer = name.rpartition(".")[0]
        if layer not in groups[key]:
            groups[key].append(layer)
    sorted_groups: list[list[str]] = []
    for key in sorted(groups):
        if key[-1:] == WITH_THE_LAST:
            sorted_groups[-1].extend(groups[key])
        else:
            sorted_groups.append(groups[key])
    return sorted_groups


def test_groups_by_depth() -> None:
    layer = "features.denseblock{}.denselayer{}.{}"
    parts = ["norm1", "conv1", "norm2", "conv2"]
    transition = ["features.transition1.norm", "features.transition1.conv"]
    assert group(classifier(), coarse=False) == [
        ["features.conv0", "features.norm0"],
        [layer.format(1, 1, part) for part in parts],
        [layer.format(1, 2, part) for part in parts] + transition,
        [layer.format(2, 1, part) for part in parts],
        ["features.norm5", "classifier"],
    ]
    assert list(map(len, group(classifier(), coarse=True))) == [2, 10, 4, 2]
    stem = ["features.conv0", "features.norm0", "features.relu0"]
    assert [group(classifier(activation="prelu"), coarse=c)[0] for c in (True, False)] == [stem] * 2
    fine = group(segmenter(), coarse=False)
    assert [layers[0] for layers in fine] == [
        "features.conv0",
        "features.denseblock1.denselayer1.norm1",
        "features.denseblock1.denselayer2.norm1",
        "features.denseblock2.denselayer1.norm1",
        "bottleneck.denselayer1.norm1",
        "bottleneck.denselayer2.norm1",
        "decoder.transition1.conv",
        "decoder.denseblock1.denselayer1.norm1",
        "decoder.transition2.conv",
        "decoder.denseblock2.denselayer1.norm1",
        "decoder.denseblock2.denselayer2.norm1",
        "classifier",
    ]
    assert list(map(len, group(segmenter(), coarse=True))) == [1, 6, 4, 4, 3, 5, 1]
    # More than nine layers: sorted as numbers.
    names = [layers[0] for layers in group(densenet121(device="meta"), coarse=False)]
    assert names.index(layer.format(2, 10, "norm1")) == names.index(layer.format(2, 9, "norm1")) + 1


@pytest.mark.parametrize(
    "build",
    [
        densenet121,
        fc_densenet56,
        lambda **options: build_model("densenet_bc40_12", **options),
        lambda **options: build_model("unet:densenet121", **options),
    ],
)
def test_device_and_dtype_of_the_weights(build) -> None:
    network = build(num_classes=4, device="meta", dtype=torch.bfloat16)
    tensors = [value for value in network.state_dict().values() if value.is_floating_point()]
    assert all(value.is_meta and value.dtype == torch.bfloat16 for value in tensors)
    images = torch.empty(2, 3, 32, 32, device="meta", dtype=torch.bfloat16)
    assert network(images).shape[:2] == (2, 4)
    assert torch.empty(1).device.type == "cpu"


def test_dtype_alone_changes_no_number() -> None:
    torch.manual_seed(1)
    plain = classifier()
    torch.manual_seed(1)
    double = classifier(dtype=torch.float64, device="cpu")
    for name, value in plain.state_dict().items():
        assert torch.equal(double.state_dict()[name].float(), value.float()), name
    assert double.features.conv0.weight.dtype == torch.float64
