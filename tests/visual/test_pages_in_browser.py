"""Pages in Chromium: the images are sorted by the chosen class, and nothing is requested."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import open_chromium

from tiramisu.checkpoints.checkpoint import save_model
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
from tiramisu.runs.compare_page import write_compare_page
from tiramisu.runs.comparing import compare_models
from tiramisu.runs.config import CompareConfig

WIDTHS = {"phone": 390, "desktop": 1280}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def pages(model: SegmentationModel, rectangles: Path, tmp_path: Path) -> dict[str, Path]:
    """A report of an evaluation, and one of a comparison."""
    save_model(model, tmp_path / "run")
    data = {"data": str(rectangles), "accelerator": "cpu"}
    out = tmp_path / "scores"
    evaluate_checkpoint(EvalConfig(checkpoint=str(tmp_path / "run"), out=str(out), **data))
    for module in model.modules():  # so that other classes are predicted
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
    save_model(model, tmp_path / "other")
    models = [str(tmp_path / name) for name in ("run", "other")]
    comparison = compare_models(CompareConfig(models=models, **data))
    write_compare_page(tmp_path / "compare.html", comparison)
    return {"report": out / "report.html", "compare": tmp_path / "compare.html"}


@pytest.mark.parametrize("name", ["report", "compare"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_images_are_sorted_by_a_class(
    browser: Any, pages: dict[str, Path], name: str, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    requests: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: requests.append(request.url.partition(":")[0]))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(pages[name].as_uri())
    figures = page.locator("#images-1 figure")
    for index in range(4):
        for order in ("1", "-1"):
            page.select_option("#class-1", str(index))
            page.select_option("#order-1", order)
            rows = [
                json.loads(figure.get_attribute("data-values"))[index] for figure in figures.all()
            ]
            assert len(rows) > 1
            assert rows == sorted(rows, reverse=order == "-1")
            assert page.inner_text("#shown-1") == f"{len(rows)} images"
    assert problems == []
    assert set(requests) <= {"file", "data"}
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
