import hashlib
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tiramisu.data.catalog import load_spec
from tiramisu.data.downloading import fetch
from tiramisu.data.downloading.download import download_dataset, read_checksums
from tiramisu.data.spec import DatasetSpec

FILES = {f"{part}/{i}.png": f"{part} {i}".encode() * 50 for part in ("a", "b b") for i in range(6)}


class Server(ThreadingHTTPServer):
    """Serves FILES; what happens to a path can be changed."""

    request_queue_size = 32

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.served: Counter[str] = Counter()
        self.change: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/base"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = self.path.removeprefix("/base/").replace("%20", " ")
        change = self.server.change.get(path) or self.server.change.get("*")
        self.server.served[path] += 1
        content = FILES[path]
        if change == "missing":
            self.send_error(404)
            return
        if change == "busy once" and self.server.served[path] == 1:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if change == "wrong":
            content = content[::-1]
        self.wfile.write(content[:20] if change == "broken" else content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetSpec:
    monkeypatch.setattr(fetch, "_PAUSES", (0.01, 0.01))
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in FILES.items()]
    (tmp_path / "tiny.sha256").write_text("\n".join(lines) + "\n")
    (tmp_path / "tiny.yaml").write_text(
        "name: tiny\ntitle: Tiny\nclasses: [a, b]\n"
        "splits: {train: {images: 'a/*.png', masks: 'b b/*.png'}}\n"
        "source: {homepage: here, licence: free, url: 'http://127.0.0.1:9', "
        "checksums: tiny.sha256}\n"
    )
    return load_spec(str(tmp_path / "tiny.yaml"))


def assert_complete(root: Path) -> None:
    found = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.*")}
    assert found == FILES


def test_a_download_is_complete(spec: DatasetSpec, server: Server, tmp_path: Path):
    root = tmp_path / "new/data/tiny"
    assert download_dataset(spec, root, source=server.url) == root
    assert_complete(root)
    (tmp_path / "usual").touch()
    modes = {path.stat().st_mode for path in (tmp_path / "usual", *root.rglob("*.png"))}
    assert len(modes) == 1
    assert not root.with_name("tiny.partial").exists()
    assert set(server.served.values()) == {1}


def test_a_complete_folder_is_only_verified(spec: DatasetSpec, server: Server, tmp_path: Path):
    root = tmp_path / "tiny"
    root.mkdir()  # empty: that is no obstacle
    for _ in range(2):
        download_dataset(spec, root, source=server.url)
    assert set(server.served.values()) == {1}
    (root / "a/3.png").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"1 of 12 files .* \(first a/3\.png\). Nothing was chan"):
        download_dataset(spec, root, source=server.url)
    assert (root / "a/3.png").read_bytes() == b"mine"
    assert set(server.served.values()) == {1}


@pytest.mark.parametrize(
    ("change", "reason", "tries"),
    [("wrong", "its SHA-256 differs", 3), ("broken", "", 3), ("missing", "404", 1)],
)
def test_a_bad_file_stops_it_and_it_resumes(
    spec: DatasetSpec, server: Server, tmp_path: Path, change: str, reason: str, tries: int
):
    root = tmp_path / "tiny"
    server.change["b b/5.png"] = change
    with pytest.raises(ValueError, match="Run the same command again") as caught:
        download_dataset(spec, root, source=server.url)
    message = str(caught.value)
    assert reason in message
    assert "b%20b/5.png" in message
    assert server.served["b b/5.png"] == tries
    assert not root.exists()
    assert not (tmp_path / "tiny.partial/b b/5.png").exists()

    there = {p.relative_to(tmp_path / "tiny.partial").as_posix() for p in tmp_path.rglob("*.png")}
    assert f"{len(there)} of 12 files are in" in message
    server.change.clear()
    server.served.clear()
    download_dataset(spec, root, source=server.url)
    assert_complete(root)
    assert set(server.served) == set(FILES) - there


def test_a_hiccup_is_retried(spec: DatasetSpec, server: Server, tmp_path: Path):
    server.change["*"] = "busy once"
    download_dataset(spec, tmp_path / "tiny", source=server.url)
    assert_complete(tmp_path / "tiny")
    assert set(server.served.values()) == {2}


def test_a_damaged_part_is_fetched_again(spec: DatasetSpec, server: Server, tmp_path: Path):
    part = tmp_path / "tiny.partial/a"
    part.mkdir(parents=True)
    (part / "0.png").write_bytes(FILES["a/0.png"])
    (part / "1.png").write_bytes(b"damaged")
    (part / ".0123456789ab.partial.png").write_bytes(b"left by a crash")
    download_dataset(spec, tmp_path / "tiny", source=server.url)
    assert_complete(tmp_path / "tiny")
    assert server.served["a/0.png"] == 0


def test_no_server(spec: DatasetSpec, tmp_path: Path):
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:9/.* 0 of 12 files .*same command again"):
        download_dataset(spec, tmp_path / "tiny")
    assert not (tmp_path / "tiny").exists()


def test_some_data_sets_cannot_be_downloaded(tmp_path: Path):
    with pytest.raises(ValueError, match=r"voc2012 cannot .* by hand from http://host.robots"):
        download_dataset(load_spec("voc2012"), tmp_path / "voc")
    with pytest.raises(ValueError, match="streets cannot be downloaded: it is synthetic"):
        download_dataset(load_spec("streets"), tmp_path / "streets")


@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", ""])
def test_checksums_name_only_files_below_the_root(tmp_path: Path, name: str):
    (tmp_path / "list").write_text(f"{'0' * 64}  {name}\n")
    with pytest.raises(ValueError, match="line 1: expected"):
        read_checksums(tmp_path / "list")


def test_the_list_of_camvid():
    source = load_spec("camvid").source
    assert source is not None
    assert source.checksums is not None
    assert len(read_checksums(source.checksums)) == 2 * (367 + 101 + 233)
