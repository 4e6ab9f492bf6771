"""Images from an HTTP server."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tiramisu import predict_many


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "www").mkdir()
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "www" / "a.png")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "www")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_images_are_read_from_a_server(address: str, tmp_path: Path) -> None:
    urls = [f"{address}/a.png?size=full", f"{address}/none.png", "http://127.0.0.1:9/b.png"]
    summary = predict_many("fc56_camvid_half", urls, tmp_path / "out")
    assert summary.done == 1
    assert Image.open(tmp_path / "out" / "a_mask.png").size == (32, 24)
    missing, unreachable = (summary.failed[url] for url in urls[1:])
    assert missing == f"there is no {urls[1]}"
    assert unreachable.startswith(f"cannot use {urls[2]} (")
