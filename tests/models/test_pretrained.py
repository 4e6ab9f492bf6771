import hashlib
import http.server
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import DenseNet121_Weights, DenseNet169_Weights
from torchvision.models import densenet121 as torchvisions_densenet121

from tiramisu.models import (
    Backbone,
    DenseNet,
    FCDenseNet,
    build_model,
    densenet121,
    densenet264,
    load_fitting,
    load_public,
    public_weights,
)


def classifier(**change) -> DenseNet:
    arguments = {"growth_rate": 4, "block_config": (1, 2), "stem_width": 8, "num_classes": 5}
    return DenseNet(**(arguments | change))


def segmenter(**change) -> FCDenseNet:
    arguments = {
        "growth_rate": 4,
        "down_blocks": (2, 1),
        "bottleneck_layers": 2,
        "up_blocks": (1, 2),
        "stem_width": 8,
        "num_classes": 3,
    }
    return FCDenseNet(**(arguments | change))


def shake(network: nn.Module) -> nn.Module:
    """Other numbers in every weight and buffer than any fresh network has."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.uniform_(0.3, 1.3, generator=generator)
            else:
                value.fill_(11)
    return network


@pytest.fixture(scope="module")
def imagenet() -> dict[str, torch.Tensor]:
    """As torchvision publishes DenseNet-121: its names of 2017, and no batch counts."""
    state = shake(torchvisions_densenet121()).state_dict()
    old = {}
    for name, value in state.items():
        for part in ("norm", "conv"):
            for number in ("1", "2"):
                name = name.replace(f".{part}{number}.", f".{part}.{number}.")
        if "num_batches" not in name:
            old[name] = value.clone()
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    return old


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that a server on loopback serves, and an empty cache of torch.hub's beside it."""
    served = tmp_path / "served"
    served.mkdir()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=served))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def url(_: object) -> str:
        (path,) = served.iterdir()
        return f"http://127.0.0.1:{server.server_port}/{path.name}"

    monkeypatch.setattr(DenseNet121_Weights, "url", property(url))
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def publish(
    state: dict[str, torch.Tensor], folder: Path, *, hash_prefix: str | None = None
) -> None:
    draft = folder / "draft"
    torch.save(state, draft)
    digest = hashlib.sha256(draft.read_bytes()).hexdigest()
    draft.rename(folder / f"densenet121-{hash_prefix or digest[:8]}.pth")


@pytest.mark.parametrize(
    "weights",
    [
        "IMAGENET1K_V1",
        "DEFAULT",
        "DenseNet121_Weights.IMAGENET1K_V1",
        DenseNet121_Weights.IMAGENET1K_V1,
    ],
)
def test_takes_torchvisions_enum_in_every_spelling(weights, hub, imagenet) -> None:
    # The head alone is served: what is asked here is which file is fetched, and by what name.
    head = {name: value for name, value in imagenet.items() if name.startswith("classifier")}
    publish(head, hub)
    network = build_model("densenet121", num_classes=1000, weights=weights)
    assert torch.equal(network.classifier.weight, imagenet["classifier.weight"])


def test_public_weights_whole(hub, imagenet) -> None:
    publish(imagenet, hub)
    network = densenet121(weights="IMAGENET1K_V1").eval()
    expected = shake(torchvisions_densenet121()).state_dict()
    assert network.state_dict().keys() == expected.keys()
    for name, value in network.state_dict().items():
        assert "num_batches" in name or torch.equal(value, expected[name]), name
    # From the cache: nothing is served any more.
    (path,) = hub.iterdir()
    path.write_bytes(b"gone")
    transfer = load_public(densenet121(num_classes=7), "densenet121", "DEFAULT")
    assert transfer.new == ("classifier",)
    assert transfer.unused == ("classifier",)
    assert not transfer.adapted
    assert (
        str(transfer)
        == "241 of 242 layers loaded; random weights: classifier; not used: classifier"
    )


def test_a_wrong_hash_or_no_network_is_one_line(hub, imagenet, monkeypatch) -> None:
    publish({"x": torch.zeros(1)}, hub, hash_prefix="0123abcd")
    with pytest.raises(ValueError, match=r"arrived damaged.*invalid hash value"):
        densenet121(weights="DEFAULT")
    monkeypatch.setattr(DenseNet121_Weights, "url", "http://127.0.0.1:9/densenet121-0123abcd.pth")
    with pytest.raises(OSError, match=r"cannot be downloaded.*go online once, or put") as info:
        densenet121(weights="DEFAULT")
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("answer", [b"", b"hello\r\n\r\n"], ids=["stalled", "no HTTP"])
def test_a_bad_server_is_one_line(answer: bytes, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    monkeypatch.setattr(public_weights, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/densenet121-0123abcd.pth"
        monkeypatch.setattr(DenseNet121_Weights, "url", url)

        def serve() -> None:
            connection = listener.accept()[0]
            if answer:
                connection.sendall(answer)
                connection.close()
            else:
                with suppress(OSError):
                    while connection.recv(10_000):  # until the client has gone
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(OSError, match=r"cannot be downloaded.*go online once, or put"):
            densenet121(weights="DEFAULT")
        thread.join(5)
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: densenet264(weights="DEFAULT"), "no published weights 'DEFAULT' for densenet264"),
        (
            lambda: build_model("densenet40_12", num_classes=10, weights="DEFAULT"),
            "no published weights 'DEFAULT' for densenet40_12",
        ),
        (
            lambda: densenet121(weights="IMAGENET1K_V2"),
            "densenet121 has no published weights 'IMAGENET1K_V2'; expected one of 'IMAGENET1K_V1'",
        ),
        (lambda: densenet121(weights=DenseNet169_Weights.DEFAULT), "DenseNet169_Weights"),
    ],
)
def test_weights_that_there_are_not(build, message: str) -> None:
    with pytest.raises(ValueError, match=message), torch.device("meta"):
        build()


def test_grey_images_are_seen_as_rgb_ones_were() -> None:
    rgb = shake(classifier()).eval()
    grey = classifier(in_channels=1).eval()
    transfer = load_fitting(grey, rgb)
    assert transfer.adapted == ("features.conv0",)
    assert not transfer.new
    image = torch.rand(2, 1, 21, 24)
    torch.testing.assert_close(grey(image), rgb(image.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("in_channels", [2, 5, 9])
def test_more_channels_keep_the_size_of_activations(in_channels: int) -> None:
    rgb = shake(classifier())
    wide = classifier(in_channels=in_channels)
    load_fitting(wide, rgb)
    old, new = rgb.features.conv0.weight, wide.features.conv0.weight
    torch.testing.assert_close(new[:, 1], old[:, 1] * 3 / in_channels)
    if in_channels > 3:
        torch.testing.assert_close(new[:, 3], new[:, 0])
    if in_channels == 9:
        torch.testing.assert_close(new.sum(dim=1), old.sum(dim=1))


def test_volumes_of_equal_slices_are_seen_as_one_slice_was() -> None:
    flat = shake(classifier(stem="face"))
    deep = classifier(stem="face", dims=3)
    transfer = load_fitting(deep, flat)
    assert not transfer.new
    assert len(transfer.adapted) == sum(isinstance(m, nn.Conv3d) for m in deep.modules())
    image = torch.rand(1, 3, 21, 24)
    volume = image.unsqueeze(2).expand(-1, -1, 9, -1, -1)
    seen = deep.features.conv0(volume)
    torch.testing.assert_close(seen[:, :, 4], flat.features.conv0(image))
    # At the ends of the volume the convolution sees zeros beyond it.
    assert not torch.allclose(seen[:, :, 0], flat.features.conv0(image))


def test_another_stem_or_head_is_new() -> None:
    weights = shake(classifier()).state_dict()
    transfer = load_fitting(classifier(stem="cifar"), weights)
    assert transfer.new == ("features.conv0",)
    assert transfer.unused == ("features.conv0", "features.norm0")
    transfer = load_fitting(classifier(head="embedding"), weights)
    assert transfer.new == ("pool.norm", "classifier.linear", "classifier.norm")
    assert transfer.unused == ("classifier",)
    transfer = load_fitting(classifier(), weights, leave=["classifier", "features.denseblock1"])
    assert len(transfer.new) == 5
    with pytest.raises(ValueError, match=r"no part 'head' to leave.*features, pool, classifier"):
        load_fitting(classifier(), weights, leave=["head"])


def test_fc_densenet_with_other_classes_and_channels() -> None:
    trained = shake(segmenter())
    network = segmenter(num_classes=7, in_channels=1)
    fresh = network.classifier.weight.clone()
    transfer = load_fitting(network, trained.state_dict())
    assert transfer.new == ("classifier",)
    assert transfer.adapted == ("features.conv0",)
    assert torch.equal(network.classifier.weight, fresh)
    left = {"classifier.weight", "classifier.bias", "features.conv0.weight"}
    for name, value in trained.state_dict().items():
        if name not in left:
            assert torch.equal(network.state_dict()[name], value), name


def test_fc_densenet_takes_its_way_down_from_a_densenet() -> None:
    # What FC-DenseNet has on its way down, as a classifier.
    pretrained = shake(
        classifier(bottleneck=None, compression=1.0, stem="cifar", block_config=(2, 1, 2))
    )
    network = segmenter(dropout=0.0)
    with torch.no_grad():
        network.features.conv0.bias.fill_(3.0)
    transfer = load_fitting(network, pretrained)
    taken = set(transfer.taken)
    assert not transfer.adapted
    assert transfer.unused == ("features.norm5", "classifier")
    assert {name for name in transfer.new if not name.startswith("decoder")} == {"classifier"}
    assert {"features.conv0", "features.transition2.conv", "bottleneck.denselayer2.conv1"} <= taken
    assert not network.features.conv0.bias.any()  # there was none, which is the same as 0
    # The two compute the same until the first pooling, which differs.
    images = torch.rand(2, 3, 12, 16)
    for network_ in (network, pretrained):
        network_.features.denseblock1.eval()
        for norm in (m for m in network_.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.eps = 1e-5
    torch.testing.assert_close(
        network.features.denseblock1(network.features.conv0(images)),
        pretrained.features.denseblock1(pretrained.features.conv0(images)),
    )


def test_only_layers_whose_shape_fits_are_taken() -> None:
    wider = shake(classifier(bottleneck=None, compression=1.0, stem="cifar", growth_rate=6))
    network = segmenter()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    transfer = load_fitting(network, wider)
    # Only what stands before the first layer of another growth rate.
    assert transfer.taken == ("features.conv0", "features.denseblock1.denselayer1.norm1")
    assert str(transfer).startswith("2 of 24 layers loaded; random weights: features.denseblock1.")
    assert str(transfer).endswith("more; epsilon of batch norm: 1e-05 there, 0.0001 here")
    changed = {n for n, v in network.state_dict().items() if not torch.equal(v, before[n])}
    assert {name.rpartition(".")[0] for name in changed} == set(transfer.taken)


def test_little_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    wider = shake(classifier(growth_rate=6))
    transfer = load_fitting(classifier(), wider)
    assert transfer.taken
    (said,) = caplog.messages
    assert re.match(
        r"only [\d.]+ % of the network's numbers were loaded; expected weights of a network", said
    )
    caplog.clear()
    # A part that is asked for, or all that there is, is not little.
    whole = shake(classifier())
    assert load_fitting(whole, classifier(), leave=["features.denseblock1", "features.denseblock2"])
    assert load_fitting(segmenter(), {"features.conv0.weight": torch.ones(8, 3, 3, 3)})
    assert load_fitting(Backbone(whole, out_indices=[0]), whole)
    assert not caplog.messages


def test_bias_that_has_no_place_keeps_a_layer_out() -> None:
    trained = shake(segmenter())
    network = classifier(bottleneck=None, compression=1.0, stem="cifar", block_config=(2, 1, 2))
    transfer = load_fitting(network, trained)
    assert all("norm" in name for name in transfer.taken)


def test_nothing_fits() -> None:
    with pytest.raises(ValueError, match=r"none of the 1 layers fits .* train from scratch"):
        load_fitting(classifier(), {"elsewhere.weight": torch.zeros(3)})
    checkpoint = {"epoch": 3, "state_dict": classifier().state_dict()}
    with pytest.raises(ValueError, match=r"with epoch, state_dict; .* weights\['state_dict'\]"):
        load_fitting(classifier(), checkpoint)
    assert not load_fitting(classifier(), {"_extra_state": 3, **checkpoint["state_dict"]}).unused
    with pytest.raises(ValueError, match=r"on the device .meta., .*network\.to_empty"):
        load_fitting(classifier(device="meta"), classifier())
