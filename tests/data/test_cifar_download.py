"""`download_dataset` for CIFAR, from a server on loopback."""

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tiny_classes import write_cifar10
from torchvision import datasets

from tiramisu.data.catalog import load_spec
from tiramisu.data.downloading.download import download_dataset
from tiramisu.data.readers.cifar_archive import load_cifar


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return write_cifar10(tmp_path / "server", monkeypatch)


@pytest.fixture
def url(archive: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(archive.parent)))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_download_is_complete(url: str, tmp_path: Path):
    spec, root = load_spec("cifar10"), tmp_path / "new/data/cifar10"
    before = datasets.CIFAR10.url
    assert download_dataset(spec, root, source=url) == root
    assert before == datasets.CIFAR10.url
    assert len(load_cifar(spec, root, train=False)) == 20
    assert [path.name for path in root.parent.iterdir()] == ["cifar10"]
    assert [path.name for path in root.iterdir()] == ["cifar-10-batches-py"]  # no archive
    assert download_dataset(spec, root, source="http://127.0.0.1:9") == root  # only verified


def test_torchvisions_own_address_is_used(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{url}/cifar-10-python.tar.gz")
    root = download_dataset(load_spec("cifar10"), tmp_path / "cifar10")
    assert len(load_cifar(load_spec("cifar10"), root, train=True)) == 100


def test_a_damaged_archive_is_not_kept(url: str, archive: Path, tmp_path: Path):
    spec, root, content = load_spec("cifar10"), tmp_path / "cifar10", archive.read_bytes()
    archive.write_bytes(content[:-9])
    with pytest.raises(ValueError, match=r"^download of cifar10 stopped: .*MD5 differs[^\n]*again"):
        download_dataset(spec, root, source=url)
    assert not root.exists()
    archive.write_bytes(content)
    assert download_dataset(spec, root, source=url) == root


@pytest.mark.parametrize("source", ["http://127.0.0.1:9", "nowhere"])
def test_no_server(archive: Path, tmp_path: Path, source: str):
    root = tmp_path / "cifar10"
    with pytest.raises(ValueError, match=r"^download of cifar10 stopped: [^\n]*same command again"):
        download_dataset(load_spec("cifar10"), root, source=source)
    assert not root.exists()


def test_a_missing_archive(url: str, archive: Path, tmp_path: Path):
    archive.unlink()
    with pytest.raises(ValueError, match="404"):
        download_dataset(load_spec("cifar10"), tmp_path / "cifar10", source=url)


def test_another_folder_is_left_alone(archive: Path, tmp_path: Path):
    root = tmp_path / "cifar10"
    root.mkdir()
    (root / "mine.txt").write_text("mine")
    with pytest.raises(
        ValueError, match=r"does not hold all files of cifar10\. Nothing was changed"
    ):
        download_dataset(load_spec("cifar10"), root)
    assert (root / "mine.txt").read_text() == "mine"
