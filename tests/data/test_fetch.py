"""Files from a slow, broken or hostile server: one line, nothing kept, and Ctrl-C at once."""

import errno
import hashlib
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tiramisu.data.downloading import careful_http, fetch
from tiramisu.data.downloading.download import read_checksums
from tiramisu.data.downloading.fetch import RemoteFile, fetch_files

CONTENT = b"an image" * 100


class Handler(BaseHTTPRequestHandler):
    """Answers as the path says."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        with suppress(OSError):  # the client may have gone
            getattr(self, self.path.strip("/").replace("-", "_"))()

    def send(self, content: bytes, *, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def good(self) -> None:
        self.send(CONTENT, Content_Length=str(len(CONTENT)))

    def other(self) -> None:
        self.send(CONTENT[::-1])

    def page(self) -> None:
        self.send(b"<html>please log in</html>", Content_Type="text/html")

    def nothing(self) -> None:
        self.send(b"", Content_Length="0")

    def closed_early(self) -> None:
        self.send(CONTENT[:20], Content_Length=str(len(CONTENT)))

    def closed_at_once(self) -> None:
        self.connection.close()

    def chunks_cut(self) -> None:
        self.send(b"5\r\nan im\r\n50\r\nage", Transfer_Encoding="chunked")

    def gzip(self) -> None:
        self.send(b"\x1f\x8b", Content_Encoding="gzip")

    def terabyte(self) -> None:
        self.send(CONTENT, Content_Length=str(10**12))

    def negative(self) -> None:
        self.send(CONTENT[:5], Content_Length="-5")

    def endless(self) -> None:
        self.send(b"")
        while True:
            self.wfile.write(CONTENT * 100)

    def stalled(self) -> None:
        self.send(CONTENT[:20], Content_Length=str(len(CONTENT)))
        time.sleep(1)

    def silent(self) -> None:
        time.sleep(1)

    def dripping(self) -> None:
        self.send(b"", Content_Length=str(len(CONTENT)))
        for byte in CONTENT:
            self.wfile.write(bytes([byte]))
            time.sleep(0.02)

    def drip(self, text: bytes) -> None:
        for byte in text * 100:
            self.wfile.write(bytes([byte]))
            time.sleep(0.02)

    def dripping_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        self.drip(b"x")

    def endless_continue(self) -> None:
        while True:
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def dripping_chunks(self) -> None:
        self.send(b"", Transfer_Encoding="chunked")
        self.drip(b"0")

    def dripping_trailers(self) -> None:
        self.send(b"5\r\nan im\r\n0\r\n", Transfer_Encoding="chunked")
        self.drip(b"X: y\r\n")

    def missing(self) -> None:
        self.send_error(404)

    def forbidden(self) -> None:
        self.send_error(403)

    def broken(self) -> None:
        self.send_error(500)

    def loop(self) -> None:
        self.send(b"", status=302, Location="/loop")

    def to_file(self) -> None:
        self.send(b"", status=302, Location=Path(__file__).as_uri())

    def to_ftp(self) -> None:
        self.send(b"", status=302, Location="ftp://127.0.0.1/x")

    def moved(self) -> None:
        self.send(b"", status=301, Location="/good")

    def no_http(self) -> None:
        self.wfile.write(b"hello\r\n\r\n")

    def many_headers(self) -> None:
        self.send(b"", **{f"X{i}": "x" for i in range(200)})

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    Handler.asked = 0
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_PAUSES", (0.01, 0.01))
    monkeypatch.setattr(careful_http, "TIMEOUT", 0.2)
    monkeypatch.setattr(fetch, "MAX_BYTES", 10**6)


def a_file(url: str, folder: Path, content: bytes = CONTENT) -> RemoteFile:
    digest = hashlib.sha256(content).hexdigest()
    return RemoteFile(url=url, path=folder / "images/a.png", digest=digest)


@pytest.mark.parametrize("kind", ["good", "moved"])
def test_what_is_right_is_kept(kind: str, url: str, tmp_path: Path) -> None:
    file = a_file(f"{url}/{kind}", tmp_path)
    fetch_files("x", [file], folder=tmp_path)
    assert file.path.read_bytes() == CONTENT
    asked = Handler.asked
    fetch_files("x", [file], folder=tmp_path)
    assert Handler.asked == asked  # it is there


@pytest.mark.parametrize(
    ("kind", "expected", "tries"),
    [
        ("other", "its SHA-256 differs", 3),
        ("page", "its SHA-256 differs", 3),
        ("nothing", "its SHA-256 differs", 3),
        ("gzip", "its SHA-256 differs", 3),
        ("negative", "its SHA-256 differs", 3),
        ("closed-early", "the connection ended after 20 of 800 bytes", 3),
        ("closed-at-once", "", 3),
        ("chunks-cut", "IncompleteRead", 3),
        ("terabyte", "it has 1,000,000,000,000 bytes; expected at most 1,000,000", 1),
        ("endless", "it has more than 1,000,000 bytes, and was cut off", 1),
        ("stalled", "timed out", 3),
        ("silent", "timed out", 3),
        ("dripping", "less than 100 bytes a second", 3),
        ("dripping_headers", "headers do not end", 3),
        ("endless_continue", "headers do not end", 3),
        ("dripping_chunks", "less than 100 bytes a second", 3),
        ("dripping_trailers", "less than 100 bytes a second", 3),
        ("missing", "404", 1),
        ("forbidden", "403", 1),
        ("broken", "500", 3),
        ("loop", "infinite loop", 5),
        ("to-file", "not allowed", 1),
        ("to-ftp", "unknown url type: ftp", 3),
        ("no-http", "", 3),
        ("many-headers", "more than 100 headers", 3),
    ],
)
def test_what_is_wrong_is_one_line_and_not_kept(
    kind: str, expected: str, tries: int, url: str, tmp_path: Path
) -> None:
    file = a_file(f"{url}/{kind}", tmp_path)
    with pytest.raises(ValueError, match="download of x stopped") as caught:
        fetch_files("x", [file], folder=tmp_path)
    message = str(caught.value)
    assert f"{url}/{kind}" in message
    assert expected in message
    assert f"0 of 1 files are in {tmp_path}. Run the same command again" in message
    assert len(message.splitlines()) == 1
    assert Handler.asked == tries
    assert not list((tmp_path / "images").iterdir())


@pytest.mark.parametrize(
    "url",
    [
        "nowhere/a.png",
        "file:///etc/hostname",
        "ftp://127.0.0.1/a.png",
        "data:,x",
        "http://",
        "http://[::1/a.png",
        "http://127.0.0.1:port/a.png",
        f"http://{'a' * 70}.invalid/",
        "http://127.0.0.1:9/a\n.png",
    ],
)
def test_a_url_that_is_none(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="download of x stopped"):
        fetch_files("x", [a_file(url, tmp_path)], folder=tmp_path)


def test_a_full_disk_is_named_at_once(url: str, tmp_path: Path, monkeypatch) -> None:
    def full(*args: object) -> Iterator[bytes]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch, "_read", full)
    with pytest.raises(ValueError, match=r"cannot write .*a\.png: No space left on device"):
        fetch_files("x", [a_file(f"{url}/good", tmp_path)], folder=tmp_path)
    assert Handler.asked == 1


def test_a_file_larger_than_the_free_disk(url: str, tmp_path: Path, monkeypatch) -> None:
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(ValueError, match="it has 800 bytes; expected 100 are free on the disk"):
        fetch_files("x", [a_file(f"{url}/good", tmp_path)], folder=tmp_path)


@pytest.mark.parametrize("seconds", [0, 0.001, 0.2], ids=["first thread", "others", "all wait"])
def test_ctrl_c_ends_it_at_once(tmp_path: Path, seconds: float) -> None:
    """A server that never answers, many files, and one SIGINT: exit 130, and how to go on."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    names = [f"{i}.png" for i in range(20)]
    lines = [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}" for name in names]
    (tmp_path / "tiny.sha256").write_text("\n".join(lines))
    (tmp_path / "tiny.yaml").write_text(
        "name: tiny\ntitle: Tiny\nclasses: [a, b]\n"
        "splits: {train: {images: 'a/*.png', masks: 'b/*.png'}}\n"
        "source: {homepage: here, licence: free, checksums: tiny.sha256, "
        f"url: 'http://127.0.0.1:{listener.getsockname()[1]}'}}\n"
    )
    # The process presses Ctrl-C itself as soon as the first connection is there.
    script = """
        import os, signal, sys, threading
        from tiramisu import cli
        from tiramisu.data.downloading import fetch
        # A shell lets what runs in its background ignore Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        opened = fetch.open_url
        press = [threading.Timer(float(sys.argv[1]), os.kill, (os.getpid(), signal.SIGINT))]
        def open_and_press(url):
            if press:
                press.pop().start()
            return opened(url)
        fetch.open_url = open_and_press
        cli.run("download", ["tiny.yaml", "--data-root", "tiny"])
    """
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(seconds)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    listener.close()
    assert done.returncode == 130
    assert "0 of 20 files are in tiny.partial. Run the same command again" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 25  # the time limit of a connection is 30 s
    assert not (tmp_path / "tiny").exists()


LISTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is empty"),
    "blank": ("\n\n", "line 1: expected"),
    "binary": (bytes(range(128, 255)), "not text in UTF-8"),
    "up": (f"{'0' * 64}  ../x.png", "line 1: expected"),
    "up in the middle": (f"{'0' * 64}  a/../../x.png", "line 1: expected"),
    "absolute": (f"{'0' * 64}  /etc/x.png", "line 1: expected"),
    "drive": (f"{'0' * 64}  C:/x.png", "line 1: expected"),
    "backslash": (f"{'0' * 64}  ..\\x.png", "line 1: expected"),
    "dot": (f"{'0' * 64}  .", "line 1: expected"),
    "two ways to write it": (f"{'0' * 64}  ./x.png", "line 1: expected"),
    "twice": (f"{'0' * 64}  x.png\n{'1' * 64}  x.png", "line 2: x.png is listed twice"),
    "file and folder": (f"{'0' * 64}  a\n{'1' * 64}  a/b.png", "cannot be a file, and the folder"),
    "short digest": ("00  x.png", "line 1: expected"),
    "no digest": (f"{'z' * 64}  x.png", "line 1: expected"),
    "no name": ("0" * 64, "line 1: expected"),
}


@pytest.mark.parametrize(("content", "expected"), LISTS.values(), ids=LISTS)
def test_a_list_of_checksums_that_is_none(
    content: str | bytes, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "list.sha256"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match="list") as caught:
        read_checksums(path)
    assert "list.sha256" in str(caught.value)
    assert expected in str(caught.value)


def test_digests_may_have_capitals(tmp_path: Path) -> None:
    path = tmp_path / "list.sha256"
    path.write_text(f"{'AB' * 32} *a b.png\n")
    assert read_checksums(path) == {"a b.png": "ab" * 32}
