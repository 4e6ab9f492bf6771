import pytest
import torch
from torch import nn

from tiramisu.models import DenseNet
from tiramisu.models.backbone import Backbone


def tiny() -> DenseNet:
    return DenseNet(growth_rate=4, block_config=(1, 1), stem="cifar", num_classes=3, dropout=0.5)


def learn(network: DenseNet) -> dict[str, torch.Tensor]:
    """Train for two steps; return which tensors of the state have changed."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.rand(4, 3, 8, 8)).square().sum().backward()
        optimizer.step()
    return {n for n, value in network.state_dict().items() if not torch.equal(value, before[n])}


def test_frozen_features_hold_their_statistics_too() -> None:
    network = tiny().freeze()
    network.train()
    assert learn(network) == {"classifier.weight", "classifier.bias"}
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(network(images), network(images))  # their dropout is off
    assert not any("_frozen" in name for name in network.state_dict())


def test_a_part_alone() -> None:
    network = tiny().freeze("features.conv0", "features.denseblock1").train()
    changed = learn(network)
    assert not any(name.startswith(("features.conv0", "features.denseblock1")) for name in changed)
    assert "features.denseblock2.denselayer1.norm1.running_mean" in changed
    assert "features.transition1.conv.weight" in changed


def test_unfreezes() -> None:
    network = tiny().freeze().train().unfreeze()
    assert all(p.requires_grad for p in network.parameters())
    assert all(m.training for m in network.modules())
    assert len(learn(network)) == len(network.state_dict())


def test_keeps_the_mode_it_finds() -> None:
    network = tiny().eval().freeze()
    assert not any(m.training for m in network.modules())
    network.train()
    assert network.training
    assert network.classifier.training
    assert not any(
        m.training for m in network.features.modules() if isinstance(m, nn.BatchNorm2d | nn.Dropout)
    )


def test_unknown_part() -> None:
    with pytest.raises(ValueError, match=r"no part 'backbone'.*features, pool, classifier"):
        tiny().freeze("backbone")


def test_a_part_of_two_networks_is_frozen_in_both() -> None:
    images = torch.rand(4, 3, 8, 8)
    for freeze_first in (True, False):
        network = tiny()
        if freeze_first:
            network.freeze()
            backbone = Backbone(network)
            backbone.train()
        else:
            backbone = Backbone(network).freeze()
            network.train()
        before = network.features.norm5.running_mean.clone()
        backbone(images)
        network(images)
        assert torch.equal(network.features.norm5.running_mean, before)
        backbone.unfreeze().train()
        backbone(images)
        assert not torch.equal(network.features.norm5.running_mean, before)
