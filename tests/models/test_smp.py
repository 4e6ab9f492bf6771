"""The bridge to segmentation-models-pytorch: its checks of an encoder, made of ours."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import pytest
import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.encoders import get_encoder
from torch import nn
from torchvision.models import DenseNet121_Weights

import tiramisu
from tiramisu.models import build_model, densenet121, load_fitting, task_of
from tiramisu.models.blocks import DenseBlock, DenseLayer

ENCODERS = tiramisu.register_smp_encoders()
STRIDES = [1, 2, 4, 8, 16, 32]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Images as small as these wait for their threads longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def encoder() -> nn.Module:
    """At the depth where a trimmed transition comes last."""
    return get_encoder("tiramisu-densenet121", depth=3, weights=None).eval()


def test_registered_under_their_names() -> None:
    assert [f"tiramisu-densenet{depth}" for depth in (121, 161, 169, 201, 264)] == ENCODERS
    assert set(ENCODERS) <= set(smp.encoders.get_encoder_names())
    assert tiramisu.register_smp_encoders() == ENCODERS


@pytest.mark.parametrize("name", ENCODERS)
def test_five_maps_of_each(name: str) -> None:
    with torch.device("meta"):
        encoder = get_encoder(name, weights=None).eval()
        maps = encoder(torch.empty(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (c, 64 // s, 96 // s) for c, s in zip(encoder.out_channels, STRIDES, strict=True)
    ]


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("in_channels", [1, 3, 4])
def test_any_depth_and_channels(depth: int, in_channels: int) -> None:
    with torch.device("meta"):
        encoder = get_encoder(
            "tiramisu-densenet121", depth=depth, in_channels=in_channels, weights=None
        ).eval()
        maps = encoder(torch.empty(1, in_channels, 64, 64))
    assert len(maps) == len(encoder.out_channels) == depth + 1
    assert [m.shape[1] for m in maps] == encoder.out_channels
    assert encoder.out_channels[0] == in_channels
    assert [64 // m.shape[2] for m in maps] == STRIDES[: depth + 1]
    assert encoder.output_stride == STRIDES[depth]


def test_depths_and_strides_that_there_are_not() -> None:
    with pytest.raises(ValueError, match="depth is 6; expected 1 to 5"):
        get_encoder("tiramisu-densenet121", depth=6, weights=None)
    with torch.device("meta"), pytest.raises(ValueError, match="cannot be dilated"):
        get_encoder("tiramisu-densenet121", output_stride=16, weights=None)
    with torch.device("meta"), pytest.raises(ValueError, match=r"deeplabv3.*cannot be dilated"):
        build_model("deeplabv3:densenet121", num_classes=2)


def test_every_parameter_learns(encoder) -> None:
    maps = encoder(torch.rand(1, 3, 64, 64))
    sum(feature.mean() for feature in maps).backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    encoder.zero_grad()


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@pytest.mark.parametrize("how", ["script", "compile", "export"])
def test_scripts_compiles_and_exports_whole(how: str, encoder) -> None:
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = encoder(images)
        if how == "script":
            other = torch.jit.script(encoder)
        elif how == "compile":
            torch.compiler.reset()
            other = torch.compile(encoder, fullgraph=True, dynamic=True, backend="eager")
        else:
            other = torch.export.export(encoder, args=(images,), strict=True).module()
        torch.testing.assert_close(other(images), expected, rtol=1e-4, atol=1e-4)
    # Nothing of the network was changed by it.
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(encoder(images), expected, strict=True))


def test_takes_what_smp_publishes_of_the_same_networks() -> None:
    theirs = get_encoder("densenet121", weights=None).eval()
    generator = torch.Generator().manual_seed(0)
    for name, value in theirs.state_dict().items():
        if "norm" in name and value.is_floating_point():
            value.uniform_(0.5, 1, generator=generator)
    settings = smp.encoders.encoders
    assert (
        settings["tiramisu-densenet121"]["pretrained_settings"]
        == settings["densenet121"]["pretrained_settings"]
        != {}
    )
    assert settings["tiramisu-densenet264"]["pretrained_settings"] == {}
    ours = get_encoder("tiramisu-densenet121", depth=4, weights=None).eval()
    # As `get_encoder` does with the file that it fetches.
    ours.load_state_dict(theirs.state_dict())
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images)[:5], rtol=1e-4, atol=1e-4)
    ours.set_in_channels(1, pretrained=True)
    grey = images[:, :1]
    with torch.no_grad():
        torch.testing.assert_close(
            ours(grey)[-1], theirs(grey.expand(-1, 3, -1, -1))[4], rtol=1e-4, atol=1e-4
        )


def test_in_their_networks_with_five_channels() -> None:
    network = smp.Unet(
        "tiramisu-densenet121",
        encoder_weights=None,
        in_channels=5,
        encoder_depth=4,
        decoder_channels=(16, 16, 8, 8),
        classes=2,
    )
    assert network(torch.rand(2, 5, 32, 48)).shape == (2, 2, 32, 48)
    if not hasattr(network, "freeze_encoder"):  # came with version 0.6
        return
    network.freeze_encoder()
    network.train()
    assert not any(m.training for m in network.encoder.modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize(
    "name", ["smp:unet/resnet18", "smp:linknet/mobilenet_v2", "smp:fpn/tu-resnet18"]
)
def test_their_networks_take_any_size(name: str) -> None:
    network = build_model(name, num_classes=3, in_channels=4).eval()
    assert task_of(name) == "segmentation"
    for size in ((32, 64), (45, 70), (1, 33)):
        images = torch.rand(1, 4, *size)
        with torch.no_grad():
            logits = network(images)
            assert logits.shape == (1, 3, *size)
        if size == (32, 64):
            with torch.no_grad():
                assert torch.equal(logits, network.network(images))
    with pytest.raises(ValueError, match="the input has 3 channels"):
        network(torch.rand(1, 3, 32, 32))


def test_margin_repeats_the_border() -> None:
    network = build_model("smp:unet/resnet18", num_classes=3).eval()
    images = torch.rand(1, 3, 40, 64)
    padded = torch.cat([images, images[:, :, -1:].expand(-1, -1, 24, -1)], dim=2)
    with torch.no_grad():
        torch.testing.assert_close(network(images), network.network(padded)[:, :, :40])


def test_our_encoder_takes_its_options() -> None:
    with torch.device("meta"):
        network = build_model("unet:densenet121", num_classes=3, dropout=0.3, memory_efficient=True)
    layers = [m for m in network.network.encoder.modules() if isinstance(m, DenseLayer)]
    assert len(layers) == 58
    blocks = [m for m in network.network.encoder.modules() if isinstance(m, DenseBlock)]
    assert all(block.memory_efficient for block in blocks)
    assert {layer.dropout2.p for layer in layers} == {0.3}
    with torch.device("meta"):
        network = build_model("smp:fpn/tiramisu-densenet121", num_classes=3)
    assert {m.p for m in network.network.encoder.modules() if isinstance(m, nn.Dropout)} == {0.0}
    for option in ({"dropout": 0.0}, {"memory_efficient": True}):
        with pytest.raises(ValueError, match=r"leave it out, or choose .*unet:densenet121"):
            build_model("smp:unet/resnet18", num_classes=3, **option)


def test_our_encoder_takes_torchvisions_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = densenet121()
    nn.init.uniform_(trained.features.norm5.bias)
    monkeypatch.setattr(
        DenseNet121_Weights, "get_state_dict", lambda *_, **__: trained.state_dict()
    )
    network = build_model("unet:densenet121", num_classes=3, in_channels=1, weights="DEFAULT")
    encoder = network.network.encoder
    assert torch.equal(encoder.features.norm5.bias, trained.features.norm5.bias)
    grey = trained.features.conv0.weight.sum(dim=1, keepdim=True)
    torch.testing.assert_close(encoder.features.conv0.weight, grey)
    # The same from a run of ours, by the whole network.
    again = build_model("unet:densenet121", num_classes=3)
    transfer = load_fitting(again, trained)
    assert transfer.unused == ("classifier",)
    assert all(name.startswith(("network.decoder", "network.segm")) for name in transfer.new)


def test_a_decoder_of_smps_own_encoder_is_told(caplog: pytest.LogCaptureFixture) -> None:
    theirs = smp.Unet("densenet121", encoder_weights=None).eval()
    ours = smp.Unet("tiramisu-densenet121", encoder_weights=None).eval()
    images = torch.rand(1, 3, 64, 64)
    ours.load_state_dict(theirs.state_dict())
    assert not torch.allclose(ours(images), theirs(images), atol=1e-3)
    load_fitting(ours, theirs.state_dict())
    of_theirs = build_model("smp:unet/densenet121", num_classes=1)
    load_fitting(build_model("unet:densenet121", num_classes=1), of_theirs)
    assert len(caplog.messages) == 3
    assert all('features["relu5"] = torch.nn.Identity()' in said for said in caplog.messages)
    caplog.clear()
    # What is right is loaded without a word: our own weights, an encoder alone, fewer maps, and a
    # network that follows the advice.
    again = build_model("unet:densenet121", num_classes=1)
    again.network.load_state_dict(ours.state_dict())
    load_fitting(again, ours)
    load_fitting(again, theirs.encoder)
    again.network.encoder.load_state_dict(theirs.encoder.state_dict())
    flat = partial(smp.Unet, encoder_weights=None, encoder_depth=4, decoder_channels=(8, 8, 8, 8))
    load_fitting(flat("tiramisu-densenet121"), flat("densenet121"))
    ours.encoder.features["relu5"] = torch.nn.Identity()
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(images), theirs(images))
    assert not caplog.messages


def test_freeze_holds_the_encoder() -> None:
    network = build_model("smp:unet/resnet18", num_classes=3).freeze().train()
    assert not any(p.requires_grad for p in network.network.encoder.parameters())
    assert not network.network.encoder.training
    assert network.network.decoder.training


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smp:unett/resnet34", "unknown decoder 'unett'.*did you mean 'unet'"),
        ("smp:unet/resnet33", "unknown encoder 'resnet33'.*did you mean 'resnet34'"),
        ("smp:unet/tu-nonsense", r"cannot be built .*\(nonsense\)"),
        ("smp:unet", "incomplete; expected smp:DECODER/ENCODER"),
        ("unet:densenet122", "unknown encoder 'densenet122'.*did you mean 'densenet121'"),
        ("unet:resnet34", "smp:unet/resnet34"),
        ("foo:densenet121", "unknown decoder 'foo'.*expected one of .*unet"),
        ("smp:dpt/resnet18", "cannot be built by segmentation-models-pytorch.*Only Timm"),
    ],
)
def test_names_that_there_are_not(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as info:
        build_model(name, num_classes=2)
    assert "\n" not in str(info.value)


def test_imported_only_when_asked_for() -> None:
    code = (
        "import sys, tiramisu.models; "
        "tiramisu.models.task_of('fc56'); tiramisu.models.densenet121; "
        "sys.exit(any(m in sys.modules for m in ('segmentation_models_pytorch', 'torchvision')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_memory_cannot_be_saved_without_dense_blocks() -> None:
    with pytest.raises(ValueError, match="no dense blocks"):
        build_model("smp:unet/resnet18", num_classes=2).set_grad_checkpointing()
