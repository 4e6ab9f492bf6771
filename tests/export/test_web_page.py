"""A model as a web page: what the page holds. `test_web_page_in_browser` opens it."""

import base64
import dataclasses
import json
import lzma
import re
from pathlib import Path

import pytest
from standin_runtime import standin_files
from web_page import Page

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.export.web_page import check_web_model, write_model_page
from tiramisu.export.web_runtime import BUILDS, WebRuntime

INFO = ModelInfo(
    arch="fc56",
    class_names=("background", "a </script><b>", "c"),
    colors=((0, 0, 0), (200, 10, 20), (30, 40, 250)),
    image_scale=0.5,
    dataset="leaves",
    metrics={"mean_iou": 71.234},
)


def write(path: Path, info: ModelInfo = INFO, model: bytes = b"the model") -> Page:
    runtime = WebRuntime(version="9.8.7", files=standin_files())
    write_model_page(path, model=model, info=info, runtime=runtime)
    return Page(path)


def scripts(page: Page) -> dict[str, str]:
    """The content of the scripts that have an id."""
    return dict(re.findall(r'<script[^>]* id="([\w-]+)"[^>]*>(.*?)</script>', page.source, re.S))


def unpack(text: str) -> bytes:
    settings = [{"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 0}]
    return lzma.decompress(base64.b64decode(text), lzma.FORMAT_RAW, filters=settings)


def test_the_page_holds_the_model_and_the_runtime(tmp_path: Path) -> None:
    page = write(tmp_path / "page.html")
    found = {
        name.removeprefix("part-"): unpack(text)
        for name, text in scripts(page).items()
        if name.startswith("part-")
    }
    files = standin_files()
    expected = {
        f"{name}-{part}": files[getattr(build, part)]
        for name, build in BUILDS.items()
        for part in ("script", "glue", "wasm")
    }
    assert found == expected | {"model": b"the model"}
    sizes = {a["id"]: a["data-size"] for tag, a in page.elements if "data-size" in a}
    assert sizes["part-model"] == "9"
    assert sizes["part-gpu-wasm"] == str(len(files[BUILDS["gpu"].wasm]))


def test_the_scripts_know_the_model(tmp_path: Path) -> None:
    settings = json.loads(scripts(write(tmp_path / "page.html"))["settings"])
    assert settings["names"] == list(INFO.class_names)
    assert settings["colors"] == [list(color) for color in INFO.colors]
    assert settings["unpainted"] == [0]
    assert settings["scale"] == 0.5
    assert settings["size"] is None
    assert settings["bands"] == 3
    assert settings["task"] == "segmentation"
    sized = dataclasses.replace(INFO, image_scale=1.0, image_size=(32, 48), task="classification")
    settings = json.loads(scripts(write(tmp_path / "sized.html", sized))["settings"])
    assert settings["size"] == [32, 48]
    assert settings["task"] == "classification"


def test_no_address_is_asked(tmp_path: Path) -> None:
    page = write(tmp_path / "page.html")
    for tag, attributes in page.elements:
        assert tag not in ("iframe", "object", "embed")
        for name in ("src", "href", "srcset", "action"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert not re.search(r"https?:|\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon", page.source)
    [policy] = [a["content"] for tag, a in page.elements if a.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "connect-src" not in policy
    assert "http" not in policy


def test_people_see_what_it_is(tmp_path: Path) -> None:
    page = write(tmp_path / "page.html")
    assert "fc56 on leaves" in page.text
    assert "one of 3 classes" in page.text
    assert "71.23 %" in page.text
    assert "ONNX Runtime Web 9.8.7" in page.text
    assert "Copyright (c) Microsoft Corporation" in page.text
    assert "a </script><b>" in page.text  # as text, not as an element
    assert page.count("b") == 1  # that of the page itself


def test_the_same_model_gives_the_same_page(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name).source for name in ("a.html", "b.html"))
    assert first == second
    assert write(tmp_path / "c.html", model=b"another").source != first


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"pixel_type": "uint16"}, r"3 \(RGB\) and the type uint16"),
        ({"bands": (3, 2, 1)}, r"3 \(3, 2, 1\) and the type uint8"),
        (
            {"mean": (0,) * 4, "std": (1,) * 4, "value_range": ((0, 255),) * 4},
            "4 and the type uint8",
        ),
    ],
)
def test_images_that_are_no_photos_are_refused(changes: dict[str, object], found: str) -> None:
    with pytest.raises(ValueError, match=f"{found}, and a browser gives photos only"):
        check_web_model(dataclasses.replace(INFO, **changes))


def test_photos_in_grey_are_fine() -> None:
    check_web_model(INFO)
    grey = dataclasses.replace(INFO, mean=(0.0,), std=(1.0,), value_range=((0, 255),))
    check_web_model(grey)
    check_web_model(dataclasses.replace(INFO, bands=(1, 2, 3)))
