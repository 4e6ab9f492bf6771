"""A model as a web page, opened in Chromium: it predicts as ONNX Runtime does, and asks nothing."""

import dataclasses
import functools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from browser import open_chromium
from PIL import Image
from torch import nn

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import ClassificationModel, ImageModel, SegmentationModel
from tiramisu.data.dataset import as_tensor
from tiramisu.data.readers.image_file import read_image
from tiramisu.data.resizing import resize_image
from tiramisu.export import web_page
from tiramisu.export.formats import export_model
from tiramisu.export.web_page import write_model_page
from tiramisu.export.web_runtime import BUILDS, WebRuntime, find_web_runtime
from tiramisu.inference.classify import classify
from tiramisu.inference.exported import Description, ExportedModel, load_exported
from tiramisu.inference.predict import predict
from tiramisu.models import DenseNet
from tiramisu.streets.scene import draw_scene
from tiramisu.visual.page import TEMPLATES

EQUAL = 0.995
"""Part of the pixels that must have the class that ONNX Runtime gives."""
SIZES = ((96, 128), (97, 131), (144, 192), (150, 111), (40, 50))
"""Heights and widths of the photos; the network of the first tests sees half of them."""
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
GRAPHICS_CARD = (
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--use-vulkan=swiftshader",
    "--enable-features=Vulkan",
)
"""Flags for a program that stands in for a graphics card, which pages do not use by themselves."""
WAIT = 240_000
"""Milliseconds."""

Build = Callable[[ImageModel | ExportedModel], tuple[Path, ExportedModel]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("onnxruntime", reason="pages are compared with ONNX Runtime")
    with open_chromium(*CAMERA, *GRAPHICS_CARD) as browser:
        yield browser


@pytest.fixture(scope="module")
def runtime(browser: Any) -> WebRuntime:
    try:
        return find_web_runtime()
    except ValueError as error:
        pytest.skip(f"no onnxruntime-web: {error}")


@pytest.fixture(scope="module")
def build(runtime: WebRuntime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """Writes a model as a page; returns it and the ONNX file within it, which runs natively."""

    def build(model: ImageModel | ExportedModel) -> tuple[Path, ExportedModel]:
        folder = tmp_path_factory.mktemp("page")
        if not isinstance(model, ExportedModel):
            model = load_exported(export_model(model.eval(), folder / "model.onnx"))
        page, graph = folder / "model.html", model.path.read_bytes()
        write_model_page(page, model=graph, info=model.info, runtime=runtime)
        return page, model

    with pytest.MonkeyPatch.context() as patch:
        # The runtime is the same in all pages.
        patch.setattr(web_page, "_pack", functools.cache(web_page._pack))
        yield build


@pytest.fixture(scope="module")
def shipped(build: Build) -> tuple[Path, ExportedModel]:
    return build(load_model("fc56_camvid_half"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for seed, (height, width) in enumerate(SIZES):
        image, _ = draw_scene(seed, height=height, width=width)
        paths.append(folder / f"photo{seed}.png")
        Image.fromarray(np.asarray(image, np.uint8)).save(paths[-1])
    return paths


class OpenPage:
    """A page in the browser, and all that it asked of any server."""

    def __init__(self, browser: Any, address: str, *, before: str = "") -> None:
        self.context = browser.new_context(accept_downloads=True)
        self.page = self.context.new_page()
        if before:
            self.page.add_init_script(before)
        self.requests: list[str] = []
        self.problems: list[str] = []
        self.messages: list[str] = []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.goto(address)

    def wait(self, *states: str) -> None:
        """Wait until the page is in one of these states."""
        self.page.wait_for_selector(
            ", ".join(f"body[data-state={state}]" for state in states), timeout=WAIT
        )

    def show(self, photo: Path) -> None:
        self.page.set_input_files("#file", photo)
        self.wait("done", "problem")
        assert not self.page.is_visible("#trouble"), self.page.inner_text("#trouble")

    def save(self, what: str) -> tuple[str, Image.Image]:
        """Name and content of a saved file."""
        with self.page.expect_download() as download:
            self.page.click(f"#save-{what}")
        return download.value.suggested_filename, Image.open(download.value.path())

    def mask(self, photo: Path) -> np.ndarray:
        self.show(photo)
        return np.asarray(self.save("mask")[1])

    def asked(self, address: str) -> list[str]:
        """Requests besides that of the page; addresses of blobs hold their content."""
        others = [url for url in self.requests if not url.startswith(("blob:", "data:"))]
        assert others[0] == address
        return others[1:]

    def legend(self) -> dict[str, float]:
        items = self.page.locator("#legend li")
        shares = [item.get_attribute("data-share") for item in items.all()]
        names = self.page.locator("#legend .name").all_inner_texts()
        return dict(zip(names, map(float, shares), strict=True))


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., OpenPage]]:
    opened: list[OpenPage] = []

    def open_page(page: Path | str, **options: str) -> OpenPage:
        address = page.as_uri() if isinstance(page, Path) else page
        opened.append(OpenPage(browser, address, **options))
        return opened[-1]

    yield open_page
    for page in opened:
        page.context.close()


@pytest.fixture
def server(shipped: tuple[Path, ExportedModel]) -> Iterator[str]:
    """The address of a page on a server."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(shipped[0].parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{shipped[0].name}"
        server.shutdown()


def test_from_a_file(
    shipped: tuple[Path, ExportedModel],
    photos: list[Path],
    open_page: Callable[..., OpenPage],
) -> None:
    path, native = shipped
    page = open_page(path)
    page.wait("ready")
    for photo in photos:
        expected = predict(native, photo)
        mask = page.mask(photo)
        assert mask.shape == expected.mask.shape
        assert (mask == expected.mask).mean() >= EQUAL
        shares = page.legend()
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
        for name, share in expected.shares.items():
            assert shares[name] == pytest.approx(share, abs=0.005)
    assert page.asked(path.as_uri()) == []
    assert page.problems == []


def test_from_a_server(
    server: str,
    shipped: tuple[Path, ExportedModel],
    photos: list[Path],
    open_page: Callable[..., OpenPage],
) -> None:
    page = open_page(server)
    page.wait("ready")
    expected = predict(shipped[1], photos[0]).mask
    assert (page.mask(photos[0]) == expected).mean() >= EQUAL
    assert page.asked(server) == []
    assert page.problems == []


def test_what_can_be_seen_and_saved(
    shipped: tuple[Path, ExportedModel],
    photos: list[Path],
    open_page: Callable[..., OpenPage],
) -> None:
    path, native = shipped
    page = open_page(path)
    page.wait("ready")
    page.show(photos[2])
    name, mask = page.save("mask")
    assert name == "photo2_mask.png"
    assert mask.mode == "P"
    palette = np.reshape(mask.getpalette(), (-1, 3))[: len(native.info.colors)]
    assert palette.tolist() == [list(color) for color in native.info.colors]
    name, overlay = page.save("overlay")
    assert name == "photo2_overlay.png"
    image = np.asarray(Image.open(photos[2]))
    prediction = predict(native, photos[2])
    expected = prediction.overlay(image)
    assert np.abs(np.asarray(overlay.convert("RGB")).astype(int) - expected).mean() < 2

    page.page.evaluate(
        "const slider = document.getElementById('opacity');"
        "slider.value = 0; slider.dispatchEvent(new Event('input'))"
    )
    bare = np.asarray(page.save("overlay")[1].convert("RGB"))
    assert (bare == image).all()

    height, width = prediction.mask.shape
    for row, column in ((10, 12), (height - 12, width // 2)):
        box = page.page.locator("#canvas").bounding_box()
        page.page.mouse.move(
            box["x"] + (column + 0.5) * box["width"] / width,
            box["y"] + (row + 0.5) * box["height"] / height,
        )
        expected_name = native.info.class_names[np.asarray(mask)[row, column]]
        assert page.page.inner_text("#tip") == expected_name
        assert page.page.inner_text("#legend .pointed .name") == expected_name

    page.page.emulate_media(media="print")
    assert page.page.locator("button:visible, input:visible, select:visible").count() == 0
    assert page.page.locator("#canvas:visible, #legend:visible").count() == 2


def test_the_camera(
    shipped: tuple[Path, ExportedModel], open_page: Callable[..., OpenPage]
) -> None:
    page = open_page(shipped[0])
    page.wait("ready")
    page.page.click("#camera")
    page.wait("live")
    page.page.click("#shoot")
    page.wait("done")
    assert page.save("mask")[1].size == (640, 480)  # of Chromium's stand-in for a camera
    assert not page.page.is_visible("#shoot")
    assert page.problems == []


def test_a_file_that_is_no_picture(
    shipped: tuple[Path, ExportedModel], open_page: Callable[..., OpenPage], tmp_path: Path
) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    page = open_page(shipped[0])
    page.wait("ready")
    page.page.set_input_files("#file", tmp_path / "notes.png")
    page.wait("problem")
    assert "notes.png is no picture" in page.page.inner_text("#trouble")
    page.page.click("#camera")
    page.wait("live")
    assert not page.page.is_visible("#trouble")


@pytest.mark.parametrize(
    ("before", "missing"),
    [
        ("delete window.CompressionStream", "CompressionStream"),
        ("delete window.WebAssembly; delete window.Worker", "WebAssembly, no Worker"),
        ("WebAssembly.Module = function () { throw new Error(); }", "WebAssembly SIMD"),
    ],
    ids=["compression", "two", "vectors"],
)
def test_a_browser_that_is_too_old(
    shipped: tuple[Path, ExportedModel],
    open_page: Callable[..., OpenPage],
    before: str,
    missing: str,
) -> None:
    page = open_page(shipped[0], before=before)
    text = page.page.inner_text("#trouble")
    assert f"too old for this page (it has no {missing})" in text
    assert "Firefox 114" in text
    assert not page.page.is_visible("#loading")
    assert page.problems == []


@pytest.mark.parametrize("error", ["NotAllowedError", "NotFoundError"])
def test_no_camera(
    shipped: tuple[Path, ExportedModel], open_page: Callable[..., OpenPage], error: str
) -> None:
    call = f'async () => {{ throw new DOMException("", "{error}"); }}'
    page = open_page(shipped[0], before=f"navigator.mediaDevices.getUserMedia = {call}")
    page.wait("ready")
    page.page.click("#camera")
    page.page.wait_for_selector("#trouble:visible")
    expected = "allow it" if error == "NotAllowedError" else f"({error}): connect one"
    assert expected in page.page.inner_text("#trouble")


CLAIM = """
    const ask = navigator.gpu?.requestAdapter.bind(navigator.gpu);
    const claim = async () => (await ask?.()) && { isFallbackAdapter: false };
    if (ask) navigator.gpu.requestAdapter = claim;
"""
"""A script with which a page takes the program for a graphics card."""


def test_a_graphics_card_that_fails(
    shipped: tuple[Path, ExportedModel],
    runtime: WebRuntime,
    photos: list[Path],
    open_page: Callable[..., OpenPage],
    tmp_path: Path,
) -> None:
    native = shipped[1]
    files = runtime.files | {BUILDS["gpu"].wasm: b"\0asm damaged"}
    broken = dataclasses.replace(runtime, files=files)
    path = tmp_path / "page.html"
    write_model_page(path, model=native.path.read_bytes(), info=native.info, runtime=broken)
    page = open_page(path, before=CLAIM)
    page.page.wait_for_selector("body[data-gpu=no]", timeout=WAIT)
    expected = predict(native, photos[0]).mask
    assert (page.mask(photos[0]) == expected).mean() >= EQUAL
    assert "WebAssembly" in page.page.inner_text("#status")
    assert page.problems == []


def test_a_graphics_card_that_fails_later(
    shipped: tuple[Path, ExportedModel],
    photos: list[Path],
    open_page: Callable[..., OpenPage],
) -> None:
    page = open_page(shipped[0])
    page.wait("ready")
    page.page.evaluate(
        """() => {
            const call = async () => { throw new Error("the device is lost"); };
            fallback = runtime;
            runtime = { title: "WebGPU", call, worker: { terminate() {} } };
        }"""
    )
    expected = predict(shipped[1], photos[0]).mask
    assert (page.mask(photos[0]) == expected).mean() >= EQUAL
    assert "WebAssembly" in page.page.inner_text("#status")


def test_a_program_is_no_graphics_card(
    shipped: tuple[Path, ExportedModel], open_page: Callable[..., OpenPage]
) -> None:
    page = open_page(shipped[0])
    page.page.wait_for_selector("body[data-gpu=no]", timeout=WAIT)
    assert page.page.locator("#part-gpu-wasm").count() == 1  # it was not even unpacked


def test_a_graphics_card(
    photos: list[Path], build: Build, open_page: Callable[..., OpenPage]
) -> None:
    path, native = build(small_model(INFO, photos[0]))
    page = open_page(path, before=CLAIM)
    page.page.wait_for_selector("body[data-gpu]", timeout=WAIT)
    if page.page.locator("#part-gpu-wasm").count():
        pytest.skip("this Chromium has no WebGPU, not even by a program")
    if page.page.get_attribute("body", "data-gpu") == "no":
        assert any("no WebGPU: it is slow" in message for message in page.messages), page.messages
        return
    expected = predict(native, photos[0]).mask
    assert (page.mask(photos[0]) == expected).mean() >= EQUAL
    assert "WebGPU" in page.page.inner_text("#status")
    assert page.asked(path.as_uri()) == []


def test_the_limit_of_the_size(
    photos: list[Path], build: Build, open_page: Callable[..., OpenPage]
) -> None:
    path, native = build(small_model(INFO, photos[0]))
    page = open_page(path)
    page.wait("ready")
    assert page.page.input_value("#longest") == "1024"
    page.show(photos[2])
    assert "192 x 144 pixels, seen by the network as 192 x 144" in page.page.inner_text("#status")
    page.page.evaluate("document.querySelector('#longest option').value = 48")
    page.page.select_option("#longest", "48")
    page.page.wait_for_selector("#status:text('48 x 36')", timeout=WAIT)
    mask = np.asarray(page.save("mask")[1])
    small = ExportedModel(
        native._run,
        Description(info=dataclasses.replace(INFO, image_scale=0.25), precision="fp32"),
        path=path,
    )
    assert (mask == predict(small, photos[2]).mask).mean() >= EQUAL


@pytest.mark.parametrize(("event", "field"), [("paste", "clipboardData"), ("drop", "dataTransfer")])
def test_photos_are_pasted_and_dropped(
    photos: list[Path],
    build: Build,
    open_page: Callable[..., OpenPage],
    event: str,
    field: str,
) -> None:
    path, native = build(small_model(INFO, photos[0]))
    page = open_page(path)
    page.wait("ready")
    page.page.evaluate(
        """([values, event, field]) => {
            const data = new DataTransfer();
            data.items.add(new File([Uint8Array.from(values)], "given.png"));
            const given = new Event(event, { bubbles: true, cancelable: true });
            given[field] = data;
            document.body.dispatchEvent(given);
        }""",
        [list(photos[0].read_bytes()), event, field],
    )
    page.wait("done")
    name, mask = page.save("mask")
    assert name == "given_mask.png"
    assert (np.asarray(mask) == predict(native, photos[0]).mask).mean() >= EQUAL


def various(seed: int) -> bytes:
    """Content with single bytes, copies, and copies of copies, near and far, short and long."""
    random = np.random.default_rng(seed)
    content = bytearray(random.integers(0, 256, 3000, np.uint8).tobytes())
    for _ in range(2000):
        length = int(random.choice([1, 2, 3, 4, 9, 17, 40, 273, 700]))
        start = int(random.integers(0, len(content)))
        content += content[start : start + length]
        content += random.integers(0, 256, int(random.integers(0, 4)), np.uint8).tobytes()
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [various(0), bytes(100_000), b"a", b"", (TEMPLATES / "model_page.js").read_bytes()],
    ids=["various", "zeros", "one", "none", "text"],
)
def test_parts_are_unpacked(browser: Any, content: bytes) -> None:
    part = web_page._pack("part", content)
    page = browser.new_page()
    page.add_script_tag(path=TEMPLATES / "model_unpack.js")
    values = page.evaluate(
        "([letters, size]) => Array.from(unpack(readLetters(letters), size))",
        [part.base64, part.size],
    )
    page.close()
    assert bytes(values) == content


@pytest.mark.parametrize(
    ("size", "wanted", "bands"),
    [
        ((100, 80), (50, 40), 3),
        ((90, 60), (30, 20), 3),
        ((97, 131), (36, 48), 3),
        ((97, 131), (48, 66), 1),
        ((40, 50), (64, 80), 3),
        ((96, 128), (120, 70), 3),
        ((60, 40), (30, 41), 3),
        ((60, 40), (30, 40), 3),
    ],
)
def test_images_are_resized_as_by_opencv(
    browser: Any, size: tuple[int, int], wanted: tuple[int, int], bands: int
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, bands)).astype(np.uint8)
    image = cv2.GaussianBlur(noise, (5, 5), 1).reshape(noise.shape)
    page = browser.new_page()
    page.add_script_tag(path=TEMPLATES / "model_pixels.js")
    values = page.evaluate(
        """([values, height, width, bands, tall, wide]) => {
            const image = { height, width, bands, values: Uint8Array.from(values) };
            return Array.from(resizeImage(image, tall, wide).values);
        }""",
        [image.ravel().tolist(), *size, bands, *wanted],
    )
    page.close()
    expected = resize_image(image, height=wanted[0], width=wanted[1]).ravel().astype(int)
    difference = np.abs(values - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001  # of rounding in float32


def test_tiles(
    shipped: tuple[Path, ExportedModel],
    photos: list[Path],
    build: Build,
    open_page: Callable[..., OpenPage],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web_page, "DEFAULT_TILE", 64)
    path, native = build(shipped[1])
    page = open_page(path)
    page.wait("ready")
    expected = predict(native, photos[2], tile=64).mask
    assert (expected != predict(native, photos[2]).mask).mean() > 0.005  # tiles do matter
    assert (page.mask(photos[2]) == expected).mean() >= EQUAL


def small_model(info: ModelInfo, photo: Path) -> SegmentationModel:
    """A random network that finds all three classes in a photo."""
    torch.manual_seed(0)
    last = nn.Conv2d(4, 3, 5, padding=2)
    first = nn.Conv2d(info.channels, 4, 5, padding=2)
    model = SegmentationModel(nn.Sequential(first, nn.ReLU(), last), info).eval()
    image = as_tensor(read_image(photo, info.image_format))[None]
    with torch.no_grad():
        last.bias.sub_(model(image).mean(dim=(0, 2, 3)))
    return model


INFO = ModelInfo(
    arch="small", class_names=("a", "b", "c"), colors=((0, 0, 0), (9, 90, 9), (200, 9, 9))
)
GREY: dict[str, Any] = {"mean": (0.4,), "std": (0.2,), "value_range": ((0, 255),)}


@pytest.mark.parametrize(
    "changes",
    [
        {"image_scale": 1.0},
        {"image_scale": 0.37, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.2)},
        {"image_size": (64, 80)},  # smaller than most photos, and larger than one
        {"image_size": (120, 70)},  # taller and narrower than some
        {"image_scale": 0.5, **GREY},
    ],
    ids=["scale 1", "scale 0.37", "size", "tall", "grey"],
)
def test_images_as_the_network_sees_them(
    photos: list[Path],
    build: Build,
    open_page: Callable[..., OpenPage],
    changes: dict[str, Any],
) -> None:
    info = dataclasses.replace(INFO, **changes)
    path, native = build(small_model(info, photos[0]))
    page = open_page(path)
    page.wait("ready")
    for photo in photos:
        expected = predict(native, photo).mask
        assert (page.mask(photo) == expected).mean() >= EQUAL
        assert len(np.unique(expected)) > 1


def test_a_classifier(photos: list[Path], build: Build, open_page: Callable[..., OpenPage]) -> None:
    torch.manual_seed(0)
    names = tuple(f"class {number}" for number in range(7))
    info = ModelInfo(
        arch="tiny",
        task="classification",
        class_names=names,
        colors=((0, 0, 0),) * 7,
        image_size=(64, 48),
    )
    network = DenseNet(growth_rate=4, block_config=(1, 1, 1, 1), stem_width=8, num_classes=7)
    with torch.no_grad():
        network.classifier.weight.mul_(10)
    path, native = build(ClassificationModel(network, info))
    page = open_page(path)
    page.wait("ready")
    for photo in photos:
        page.show(photo)
        expected = dict(classify(native, photo).top(5))
        assert page.legend() == pytest.approx(expected, abs=1e-3)
        assert list(page.legend()) == list(expected)
    assert not page.page.is_visible("#save-mask")
    assert json.loads(page.page.inner_html("#settings"))["size"] == [64, 48]
