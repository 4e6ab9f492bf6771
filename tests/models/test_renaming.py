"""State dicts of other implementations: each layer is found under the name that it has there."""

import pytest
import torch
from tiny_networks import tiny_fcdensenet
from torch import Tensor, nn

from tiramisu.models import DenseNet, FCDenseNet, load_fitting
from tiramisu.models.renaming import PEERS, rename_layers

# The layers of the two networks below, in the order in which they have them.
NAMES = {
    "MONAI": """
        features.conv0
        features.denseblock1.denselayer1.layers.norm1 features.denseblock1.denselayer1.layers.conv1
        features.denseblock1.denselayer1.layers.norm2 features.denseblock1.denselayer1.layers.conv2
        features.denseblock1.denselayer2.layers.norm1 features.denseblock1.denselayer2.layers.conv1
        features.denseblock1.denselayer2.layers.norm2 features.denseblock1.denselayer2.layers.conv2
        features.transition1.norm features.transition1.conv
        features.denseblock2.denselayer1.layers.norm1 features.denseblock2.denselayer1.layers.conv1
        features.denseblock2.denselayer1.layers.norm2 features.denseblock2.denselayer1.layers.conv2
        features.norm5 class_layers.out""",
    "gpleiss/efficient_densenet_pytorch": """
        features.conv0
        features.denseblock1.denselayer1.norm1 features.denseblock1.denselayer1.conv1
        features.denseblock1.denselayer1.norm2 features.denseblock1.denselayer1.conv2
        features.denseblock1.denselayer2.norm1 features.denseblock1.denselayer2.conv1
        features.denseblock1.denselayer2.norm2 features.denseblock1.denselayer2.conv2
        features.transition1.norm features.transition1.conv
        features.denseblock2.denselayer1.norm1 features.denseblock2.denselayer1.conv1
        features.denseblock2.denselayer1.norm2 features.denseblock2.denselayer1.conv2
        features.norm_final classifier""",
    "andreasveit/densenet-pytorch": """
        conv1
        block1.layer.0.bn1 block1.layer.0.conv1 block1.layer.0.bn2 block1.layer.0.conv2
        block1.layer.1.bn1 block1.layer.1.conv1 block1.layer.1.bn2 block1.layer.1.conv2
        trans1.bn1 trans1.conv1
        block2.layer.0.bn1 block2.layer.0.conv1 block2.layer.0.bn2 block2.layer.0.conv2
        bn1 fc""",
    "bfortuner/pytorch_tiramisu": """
        firstconv
        denseBlocksDown.0.layers.0.norm denseBlocksDown.0.layers.0.conv
        denseBlocksDown.0.layers.1.norm denseBlocksDown.0.layers.1.conv
        transDownBlocks.0.norm transDownBlocks.0.conv
        denseBlocksDown.1.layers.0.norm denseBlocksDown.1.layers.0.conv
        transDownBlocks.1.norm transDownBlocks.1.conv
        bottleneck.bottleneck.layers.0.norm bottleneck.bottleneck.layers.0.conv
        bottleneck.bottleneck.layers.1.norm bottleneck.bottleneck.layers.1.conv
        transUpBlocks.0.convTrans
        denseBlocksUp.0.layers.0.norm denseBlocksUp.0.layers.0.conv
        transUpBlocks.1.convTrans
        denseBlocksUp.1.layers.0.norm denseBlocksUp.1.layers.0.conv
        denseBlocksUp.1.layers.1.norm denseBlocksUp.1.layers.1.conv
        finalConv""",
}


def build(peer: str) -> nn.Module:
    """The same network as the peer's: of two blocks, with 2 layers and 1 on the way down."""
    if peer == "bfortuner/pytorch_tiramisu":
        return tiny_fcdensenet(num_classes=3)
    return DenseNet(growth_rate=4, block_config=(2, 1), stem="cifar", num_classes=3)


def give_names(network: nn.Module, peer: str) -> dict[str, Tensor]:
    """The state dict of a network of ours, with other numbers and the names of a peer."""
    layers = dict.fromkeys(name.rpartition(".")[0] for name in network.state_dict())
    theirs = dict(zip(layers, NAMES[peer].split(), strict=True))
    state = {}
    for name, value in network.state_dict().items():
        layer, _, entry = name.rpartition(".")
        state[f"{theirs[layer]}.{entry}"] = torch.rand(value.shape).to(value.dtype)
    return state


@pytest.mark.parametrize("prefix", ["", "module.", "model._orig_mod."])
@pytest.mark.parametrize("peer", PEERS)
def test_every_layer_of_a_peer_is_taken(peer: str, prefix: str, caplog) -> None:
    network = build(peer)
    state = give_names(network, peer)
    transfer = load_fitting(network, {prefix + name: value for name, value in state.items()})
    assert transfer.peer == peer
    assert transfer.adapted == transfer.new == transfer.unused == ()
    for (name, own), theirs in zip(network.state_dict().items(), state.values(), strict=True):
        assert torch.equal(own, theirs), name
    said = f"{len(transfer.taken)} of {len(transfer.taken)} layers loaded; names of {peer}"
    if isinstance(network, FCDenseNet):
        said += "; epsilon of batch norm: 1e-05 there, 0.0001 here"
    assert str(transfer) == said
    assert not caplog.messages


@pytest.mark.parametrize(("peer", "rule"), [(peer, rule) for peer in PEERS for rule in PEERS[peer]])
def test_every_rule_is_needed(peer: str, rule: str, monkeypatch) -> None:
    network = build(peer)
    monkeypatch.setitem(
        PEERS, peer, {r: to for r, to in PEERS[peer].items() if r != rule} or {"!": ""}
    )
    assert load_fitting(network, give_names(network, peer)).new


def test_names_that_are_no_peers() -> None:
    for names in (
        ["features.conv0", "features.denseblock1.denselayer1.norm1", "classifier"],  # torchvision
        ["conv1", "bn1", "block1.layer.0.bn1", "fc"],  # a wide ResNet
        ["bottleneck.denselayer1.norm1", "decoder.transition1.conv"],  # FC-DenseNets of ours
    ):
        assert rename_layers(names)[0] is None
    assert rename_layers(["fc"]) == (None, {"fc": "fc."})
