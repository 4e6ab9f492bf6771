"""Nothing uses the network unasked: what comes with the package trains, evaluates and predicts."""

import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tiramisu import cli


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError(f"the network was used: {args}")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)


def run(command: str, *argv: object) -> None:
    with pytest.raises(SystemExit) as exit_info:
        cli.run(command, [str(word) for word in argv])
    assert exit_info.value.code == 0


def test_the_network_would_be_noticed() -> None:
    with pytest.raises(AssertionError, match="the network was used"):
        socket.create_connection(("127.0.0.1", 9))
    with socket.socket() as unconnected, pytest.raises(AssertionError, match="network"):
        unconnected.connect(("127.0.0.1", 9))


def test_training_and_evaluation(tmp_path: Path) -> None:
    data = tmp_path / "small.yaml"
    shipped = (Path(cli.__file__).parents[1] / "datasets/streets.yaml").read_text()
    for count in ("160", "40"):
        shipped = shipped.replace(f"count: {count}}}", "count: 2}")
    data.write_text(shipped.replace("height: 144, width: 192", "height: 64, width: 64"))
    out = tmp_path / "run"
    flags = ("--epochs", 1, "--crop", "[32,32]", "--batch-size", 2, "--accelerator", "cpu")
    run("train", "--data", data, "--out", out, *flags)
    run("eval", "--checkpoint", out, "--out", tmp_path / "scores", "--accelerator", "cpu")


def test_prediction_with_the_weights_of_the_package(tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    Image.fromarray(np.full((64, 64, 3), 99, np.uint8)).save(image)
    flags = ("--checkpoint", "fc56_camvid_half", "--out", tmp_path / "out", "--accelerator", "cpu")
    run("predict", image, *flags)
    run("summary", "--arch", "fc56")
    run("check", "streets", "--splits", "[val]")
