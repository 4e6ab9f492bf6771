"""A model as one web page, which runs it in the browser and sends nothing anywhere.

The page holds the model and its runtime, packed. Its JavaScript is in the folder of the templates:
`model_page.js` is what people press, `model_view.js` what they see, `model_runtime.js` starts the
network, and `model_worker.js` runs it beside the page. `model_pixels.js` prepares images as
`predict` and `classify` do, `model_png.js` writes masks, `model_unpack.js` undoes `_pack`.
"""

import base64
import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.data.background import find_unpainted
from tiramisu.data.image_format import describe_bands
from tiramisu.evaluation.scores import FIGURES
from tiramisu.export.web_runtime import BUILDS, WebRuntime
from tiramisu.inference.predictor import MIN_SIDE
from tiramisu.inference.tiles import DEFAULT_TILE, SMALLEST_TILE
from tiramisu.visual.page import write_page

RGB = (1, 2, 3)
"""Numbers of the bands that photos have."""
OVERLAP = 0.25
"""Part of a tile that it shares with the next, as in `predict`."""
SMALLEST_DICTIONARY = 4096
"""Of LZMA, in bytes."""


@dataclass(frozen=True, kw_only=True)
class PackedPart:
    """A file within the page."""

    name: str
    size: int
    """In bytes, unpacked."""
    base64: str
    """The file, compressed by LZMA, in letters."""


def check_web_model(info: ModelInfo) -> None:
    """Raise ValueError for a model whose images are no photos."""
    if info.pixel_type != "uint8" or info.channels not in (1, 3) or info.bands not in (None, RGB):
        raise ValueError(
            f"the model takes images of the bands {describe_bands(info.image_format)} and the type "
            f"{info.pixel_type}, and a browser gives photos only: RGB or grey of 8 bits; export it "
            "as onnx"
        )


def write_model_page(path: Path, *, model: bytes, info: ModelInfo, runtime: WebRuntime) -> None:
    """Write a page that runs a model.

    Args:
        path: the file to write.
        model: an ONNX file of `export_model`.
        info: what its logits mean.
        runtime: what runs it.

    Raises:
        OSError: the file cannot be written.
    """
    kind = "Names what is in a photo" if info.task == "classification" else "Colors each pixel"
    files = {
        f"{name}-{part}": runtime.files[getattr(build, part)]
        for name, build in BUILDS.items()
        for part in ("script", "glue", "wasm")
    }
    files["model"] = model
    write_page(
        path,
        "model.html",
        {
            "title": f"{info.arch} on {info.dataset}" if info.dataset else info.arch,
            "summary": f"{kind}: one of {len(info.class_names)} classes.",
            "facts": _list_facts(info),
            "runtime_version": runtime.version,
            "settings": describe_model(info),
            "parts": [_pack(name, content) for name, content in files.items()],
        },
    )


def describe_model(info: ModelInfo) -> dict[str, Any]:
    """What the page's scripts need to know of a model; they read it as `settings`."""
    return {
        "task": info.task,
        "bands": info.channels,
        "names": info.class_names,
        "colors": info.colors,
        "unpainted": find_unpainted(info.class_names, None),
        "scale": info.image_scale,
        "size": info.image_size,
        "smallestSide": MIN_SIDE,
        "tile": DEFAULT_TILE,
        "smallestTile": SMALLEST_TILE,
        "overlap": OVERLAP,
    }


def _pack(name: str, content: bytes) -> PackedPart:
    # A stream without a header: `model_unpack.js` is made for these lc, lp and pb.
    settings = {"id": lzma.FILTER_LZMA1, "preset": 6, "lc": 3, "lp": 0, "pb": 0}
    # Whatever came before in the file can be repeated.
    settings["dict_size"] = max(SMALLEST_DICTIONARY, len(content))
    packed = lzma.compress(content, lzma.FORMAT_RAW, filters=[settings])
    return PackedPart(name=name, size=len(content), base64=base64.b64encode(packed).decode())


def _list_facts(info: ModelInfo) -> dict[str, str]:
    """What is told about a model, by name."""
    facts = {"Network": info.arch}
    if info.dataset:
        facts["Trained on"] = info.dataset
    names = {figure.attribute: figure.name for figure in FIGURES[info.task]}
    for key, score in info.metrics.items():
        facts[f"{names.get(key, key)} (validation)"] = f"{score:.2f} %"
    if info.image_size is not None:
        facts["Size of images"] = "{1} x {0} pixels".format(*info.image_size)
    elif info.image_scale != 1:
        facts["Images are shrunk by"] = f"{info.image_scale:g}"
    return facts
