import math
from pathlib import Path

import pytest
import torch
from paths import by_modules
from torch import nn

from tiramisu.models import FCDenseNet, TransitionUp, fc_densenet56, fc_densenet67, fc_densenet103
from tiramisu.models.reference import ReferenceFCDenseNet


def tiny(*, dropout: float = 0.0, num_classes: int = 5, in_channels: int = 3) -> FCDenseNet:
    return FCDenseNet(
        growth_rate=3,
        down_blocks=(2, 3),
        bottleneck_layers=2,
        up_blocks=(4, 1),
        stem_width=6,
        dropout=dropout,
        in_channels=in_channels,
        num_classes=num_classes,
    )


def randomize(network: nn.Module) -> None:
    """Move biases and BN away from 0, 1 and the identity, where mistakes would not show."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.uniform_(-0.5, 0.5, generator=generator)
            module.running_mean.uniform_(-0.5, 0.5, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.bias.data.uniform_(-0.5, 0.5, generator=generator)


@pytest.mark.parametrize(
    ("build", "parameters", "with_statistics"),
    [
        (fc_densenet56, 1_376_795, 1_397_963),
        (fc_densenet67, 3_463_243, 3_502_923),
        (fc_densenet103, 9_322_091, 9_425_163),
    ],
)
def test_parameter_counts(build, parameters: int, with_statistics: int) -> None:
    with torch.device("meta"):
        network = build(num_classes=11)
    counted = sum(p.numel() for p in network.parameters() if p.requires_grad)
    statistics = sum(b.numel() for name, b in network.named_buffers() if "running" in name)
    assert counted == parameters
    assert counted + statistics == with_statistics


def test_stack_widths_of_the_authors_erratum() -> None:
    with torch.device("meta"):
        network = fc_densenet103(num_classes=11)
    blocks = [
        *(network.features.get_submodule(f"denseblock{i}") for i in range(1, 6)),
        network.bottleneck,
        *(network.decoder[f"denseblock{i}"] for i in range(1, 6)),
    ]
    widths = [network.features.conv0.out_channels, *(block.out_channels for block in blocks)]
    assert widths == [48, 112, 192, 304, 464, 656, 896, 1088, 816, 576, 384, 256]
    assert network.classifier.in_channels == 256


def test_names_follow_torchvisions() -> None:
    keys = fc_densenet56(num_classes=2).state_dict()
    assert keys["features.conv0.weight"].shape == (48, 3, 3, 3)
    assert keys["features.denseblock1.denselayer1.norm1.weight"].shape == (48,)
    assert keys["features.denseblock1.denselayer4.conv1.weight"].shape == (12, 84, 3, 3)
    assert keys["features.transition1.conv.weight"].shape == (96, 96, 1, 1)


@pytest.mark.parametrize("size", [(8, 12), (9, 11), (7, 14)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_tiny_equals_the_plain_network(
    size: tuple[int, int], training: bool, dropout: float
) -> None:
    network = tiny(dropout=dropout)
    if dropout:
        network = by_modules(network)  # the fused path draws its masks in another way
    plain = ReferenceFCDenseNet(
        block_layers=[2, 3, 2, 4, 1], growth_rate=3, stem_width=6, num_classes=5, dropout=dropout
    )
    assert_equal_networks(network, plain, size=size, training=training)


@pytest.mark.parametrize("size", [(64, 32), (37, 45)])
def test_fc_densenet56_equals_the_plain_network(size: tuple[int, int]) -> None:
    network = fc_densenet56(num_classes=11, dropout=0)
    plain = ReferenceFCDenseNet(
        block_layers=[4] * 11, growth_rate=12, stem_width=48, num_classes=11, dropout=0
    )
    assert_equal_networks(network, plain, size=size, training=True)


def assert_equal_networks(
    network: FCDenseNet, plain: ReferenceFCDenseNet, *, size: tuple[int, int], training: bool
) -> None:
    """Compare logits, all gradients and BN statistics, in double precision."""
    randomize(network)
    network.double().train(training)
    plain.double().train(training)
    plain.copy_weights(network)
    images = torch.rand(2, 3, *size, dtype=torch.double)
    target = torch.rand(2, network.num_classes, *size, dtype=torch.double)

    logits = []
    for net in (network, plain):
        torch.manual_seed(0)  # the same dropout in both: same places, same order, same masks
        logits.append(net(images))
        ((logits[-1] - target) ** 2).mean().backward()

    torch.testing.assert_close(logits[0], logits[1])
    pairs = zip(network.parameters(), plain.parameters(), strict=True)
    for mine, theirs in pairs:
        torch.testing.assert_close(mine.grad, theirs.grad)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    plain_norms = [m for m in plain.modules() if isinstance(m, nn.BatchNorm2d)]
    for mine, theirs in zip(norms, plain_norms, strict=True):
        torch.testing.assert_close(mine.running_mean, theirs.running_mean)
        torch.testing.assert_close(mine.running_var, theirs.running_var)


@pytest.mark.parametrize("size", [(32, 32), (33, 63), (47, 32), (65, 96)])
def test_logits_have_the_images_size(size: tuple[int, int]) -> None:
    network = fc_densenet56(num_classes=4).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, *size)).shape == (1, 4, *size)


def test_takes_other_channel_counts() -> None:
    assert tiny(in_channels=1)(torch.rand(2, 1, 8, 8)).shape == (2, 5, 8, 8)
    assert tiny(in_channels=6, num_classes=1)(torch.rand(2, 6, 8, 8)).shape == (2, 1, 8, 8)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 31, 64), "31x64 pixels; expected at least 32x32.*pad or enlarge"),
        ((1, 3, 64, 16), "64x16 pixels; expected at least 32x32"),
        ((1, 4, 64, 64), "4 channels.*expected 3.*in_channels=4"),
        ((3, 64, 64), r"shape \(3, 64, 64\); expected \(B, 3, H, W\).*unsqueeze"),
    ],
)
def test_refuses_images_it_cannot_take(shape: tuple[int, ...], message: str) -> None:
    network = fc_densenet56(num_classes=2)
    with pytest.raises(ValueError, match=message):
        network(torch.rand(shape))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 0}, "num_classes is 0; expected a whole number, 1 to 65536"),
        ({"in_channels": 0}, "in_channels is 0"),
        ({"growth_rate": -12}, "growth_rate is -12"),
        ({"stem_width": 0}, "stem_width is 0"),
        ({"bottleneck_layers": 0}, "bottleneck_layers is 0"),
        ({"down_blocks": (4, 0)}, r"down_blocks is \(4, 0\)"),
        ({"up_blocks": ()}, r"up_blocks is \(\)"),
        ({"up_blocks": (4, 4, 4)}, "2 down_blocks and 3 up_blocks; expected as many of each"),
        ({"dropout": 1.5}, "dropout is 1.5; expected at least 0 and below 1"),
    ],
)
def test_refuses_arguments_no_network_has(change: dict, message: str) -> None:
    arguments = {
        "growth_rate": 4,
        "down_blocks": (1, 1),
        "bottleneck_layers": 1,
        "up_blocks": (1, 1),
        "num_classes": 2,
    }
    with pytest.raises(ValueError, match=message):
        FCDenseNet(**(arguments | change))


def test_starts_he_uniform_with_biases_zero() -> None:
    network = fc_densenet56(num_classes=11)
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(convs) == 56
    assert sum(isinstance(m, TransitionUp) for m in network.modules()) == 5
    for conv in convs:
        # A transposed convolution keeps its width, so that its fan-in is plain in both layouts.
        bound = math.sqrt(6 / (conv.in_channels * math.prod(conv.kernel_size)))
        assert conv.weight.abs().max() <= bound
        assert conv.weight.abs().max() > 0.95 * bound
        # A uniform distribution's standard deviation; a normal one cut at the bound has less.
        assert conv.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
        assert not conv.bias.any()


def test_every_norm_has_the_authors_epsilon() -> None:
    norms = [m for m in fc_densenet56(num_classes=2).modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 44 + 5
    assert {norm.eps for norm in norms} == {1e-4}


def test_dropout_follows_every_conv_but_the_first_last_and_transposed() -> None:
    network = fc_densenet56(num_classes=2)
    dropouts = [m for m in network.modules() if isinstance(m, nn.Dropout)]
    assert len(dropouts) == 44 + 5
    assert {dropout.p for dropout in dropouts} == {0.2}


def test_dropout_acts_in_training_only() -> None:
    network = tiny(dropout=0.5)
    images = torch.rand(2, 3, 8, 8)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_state_dict_survives_a_file(tmp_path: Path) -> None:
    network = tiny()
    randomize(network)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    other = tiny()
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    images = torch.rand(1, 3, 9, 8)
    assert torch.equal(network.eval()(images), other.eval()(images))


@pytest.mark.skipif(torch.__version__ < (2, 15), reason="older torch exports even or odd sizes")
def test_exports_once_for_even_and_odd_sizes() -> None:
    network = tiny().eval()
    side = {name: torch.export.Dim(name, min=8, max=512) for name in ("height", "width")}
    sides = {2: side["height"], 3: side["width"]}
    images = torch.rand(1, 3, 19, 22)
    program = torch.export.export(network, (images,), dynamic_shapes={"images": sides})
    for size in ((8, 8), (19, 22), (21, 64), (66, 47)):
        images = torch.rand(1, 3, *size)
        torch.testing.assert_close(program.module()(images), network(images))
