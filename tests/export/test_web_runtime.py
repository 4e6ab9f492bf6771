"""The runtime of web pages: from a folder, an archive, the cache or a registry."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from standin_runtime import pack_archive, standin_files, write_folder

from tiramisu.data.downloading import fetch
from tiramisu.export import web_runtime
from tiramisu.export.web_runtime import BUILDS, VERSION, find_web_runtime


@pytest.mark.parametrize("place", [".", "dist", "onnxruntime-web/dist"])
def test_a_folder_is_read(tmp_path: Path, place: str) -> None:
    write_folder(tmp_path / place, standin_files())
    runtime = find_web_runtime(tmp_path)
    assert runtime.files == standin_files()
    assert runtime.version == "9.8.7"


def test_an_archive_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.tgz"
    path.write_bytes(pack_archive(standin_files()))
    assert find_web_runtime(path).files == standin_files()


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    files = standin_files()
    del files[BUILDS["gpu"].wasm]
    write_folder(tmp_path / "part", files)
    (tmp_path / "empty").mkdir()
    (tmp_path / "part.tgz").write_bytes(pack_archive(files))
    for name in ("part", "part.tgz"):
        with pytest.raises(FileNotFoundError, match=f"{name} lacks {BUILDS['gpu'].wasm}; expected"):
            find_web_runtime(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=f"{BUILDS['cpu'].script}, .*npm pack"):
        find_web_runtime(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"--runtime: there is no .*nowhere"):
        find_web_runtime(tmp_path / "nowhere")


@pytest.mark.parametrize("build", ["cpu", "gpu"])
@pytest.mark.parametrize("part", ["script", "wasm"])
def test_another_program_is_refused(tmp_path: Path, build: str, part: str) -> None:
    name = getattr(BUILDS[build], part)
    write_folder(tmp_path, standin_files() | {name: b"<html>"})
    with pytest.raises(ValueError, match=f"{name} in .* is damaged or of another program"):
        find_web_runtime(tmp_path)


def test_versions_are_not_mixed(tmp_path: Path) -> None:
    gpu = BUILDS["gpu"].script
    write_folder(tmp_path, standin_files() | {gpu: standin_files("9.9.0")[gpu]})
    with pytest.raises(ValueError, match=r"mixes files of 9\.8\.7 and 9\.9\.0"):
        find_web_runtime(tmp_path)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    whole = pack_archive(standin_files())
    for content in (b"not an archive", whole[: len(whole) // 2]):
        (tmp_path / "a.tgz").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.tgz is no archive of onnxruntime-web"):
            find_web_runtime(tmp_path / "a.tgz")


class Registry:
    """A registry that has the archive."""

    def __init__(self, archive: bytes) -> None:
        self.asked: list[str] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(archive)))
                self.end_headers()
                self.wfile.write(archive)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/npm/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    archive = pack_archive(standin_files())
    registry = Registry(archive)
    monkeypatch.setattr(web_runtime, "DIGEST", hashlib.sha256(archive).hexdigest())
    monkeypatch.setattr(fetch, "_PAUSES", (0.0, 0.0))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)
    monkeypatch.setenv("npm_config_registry", registry.url)
    yield registry
    registry.server.shutdown()
    registry.server.server_close()


def test_it_is_downloaded_once(registry: Registry, tmp_path: Path) -> None:
    for _ in range(2):
        assert find_web_runtime().files == standin_files()
    assert registry.asked == [f"/npm/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"]
    [kept] = (tmp_path / "cache" / "tiramisu").iterdir()
    assert kept.name == f"onnxruntime-web-{VERSION}.tgz"
    kept.write_bytes(b"damaged")
    assert find_web_runtime().files == standin_files()
    assert len(registry.asked) == 2


def test_the_variable_may_be_in_capitals(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("npm_config_registry")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry.url.rstrip("/"))
    find_web_runtime()
    assert len(registry.asked) == 1


def test_a_wrong_checksum_is_refused(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(web_runtime, "DIGEST", "0" * 64)
    with pytest.raises(ValueError, match="SHA-256 differs from the expected") as error:
        find_web_runtime()
    assert "\n" not in str(error.value)
    assert not any((tmp_path / "cache" / "tiramisu").iterdir())


def test_without_a_network_the_remedy_is_named(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    with pytest.raises(ValueError, match=f"npm pack onnxruntime-web@{VERSION}` .* --runtime"):
        find_web_runtime()
