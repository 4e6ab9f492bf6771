"""Pages in Chromium: the images are sorted by the chosen class, and nothing is requested."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import open_chromium

from tiramisu.checkpoints.checkpoint import save_model
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.data.catalog import load_spec
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
from tiramisu.evaluation.score_page import write_score_page
from tiramisu.evaluation.scores import score
from tiramisu.runs.compare_page import write_compare_page
from tiramisu.runs.comparing import compare_models
from tiramisu.runs.config import CompareConfig
from tiramisu.runs.run_summary import RunSummary
from tiramisu.runs.runs_list import write_runs_page

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


@pytest.fixture
def runs_page(tmp_path: Path) -> Path:
    """Eight runs with long names, networks and settings."""
    runs = [
        RunSummary(
            name=f"a_rather_long_name_of_run_{number}",
            folder=tmp_path,
            settings={
                "data": "camvid",
                "arch": "smp:deeplabv3plus/efficientnet-b0",
                "crop": [number, 224],
                "augment": f"transforms_of_my_own.py:{'strong_' * 9}{number}",
            },
            history=[
                {"epoch": str(epoch), "train_loss": str(number / epoch)} for epoch in range(1, 40)
            ],
            scores={"mean_iou": 0.5},
            origin={"command": "tiramisu train"},
            date=datetime(2026, 1, 2, tzinfo=timezone.utc),
        )
        for number in range(1, 9)
    ]
    write_runs_page(tmp_path / "runs.html", runs, title="Runs")
    return tmp_path / "runs.html"


def test_runs_fit_a_phone_and_a_desk(browser: Any, runs_page: Path) -> None:
    for width in WIDTHS.values():
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.goto(runs_page.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for box in _boxes(page, ".more div"):
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        page.close()


def test_lines_of_runs_differ_in_more_than_color(runs_page: Path) -> None:
    curves = re.findall(r'style="(fill: none;[^"]*var\(--series-\d\)[^"]*)', runs_page.read_text())
    dashes = {re.search(r"stroke-dasharray: [\d., ]+|$", curve)[0] for curve in curves}
    assert len(dashes) == 4


def test_names_stay_in_sight_on_a_phone(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(pages["report"].as_uri())
    page.evaluate(
        """for (const name of document.querySelectorAll("tbody th"))
             name.lastChild.textContent = "a_class_with_a_long_name" + " and more words"
        """
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for table in page.locator(".scroll").all():
        table.evaluate("e => e.scrollLeft = 9999")
        for box in _boxes(table, "tbody th"):
            assert 0 <= box["x"] <= 20
            assert box["width"] <= 9 * 16
    page.close()


def test_bars_stand_in_the_middle_of_their_rows(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(pages["report"].as_uri())
    rows, bars = _boxes(page, "table.bars tbody tr"), _boxes(page, "table.bars .bar > i")
    for row, bar in zip(rows, bars, strict=True):
        middles = [box["y"] + box["height"] / 2 for box in (row, bar)]
        assert middles[0] == pytest.approx(middles[1], abs=1.5)
    page.close()


@pytest.mark.parametrize("name", ["report", "compare", "runs"])
def test_paper_is_white_and_shows_whole_tables(
    browser: Any, pages: dict[str, Path], runs_page: Path, name: str
) -> None:
    page = browser.new_page(viewport={"width": 700, "height": 900}, color_scheme="dark")
    page.goto((pages | {"runs": runs_page})[name].as_uri())
    dark = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(dark) != "rgb(255, 255, 255)"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(dark) == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.locator("select:visible, summary:visible").count() == 0
    for table in page.locator(".scroll").all():
        assert table.evaluate("e => getComputedStyle(e).overflowX") == "visible"
        assert table.evaluate("e => e.scrollWidth <= e.clientWidth")
    sizes = page.evaluate(
        "[...document.querySelectorAll('p, td, figcaption, footer, dd')]"
        ".map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert max(sizes) <= 11
    page.close()


def test_many_classes_fit_on_paper(browser: Any, tmp_path: Path) -> None:
    camvid = load_spec("camvid")
    classes = [
        camvid.classes[0].model_copy(
            update={"name": f"class {number:02} with thirty letters", "color": None}
        )
        for number in range(40)
    ]
    spec = camvid.model_copy(update={"classes": tuple(classes), "published": ()})
    write_score_page(
        tmp_path / "report.html",
        title="many",
        how=["2 images"],
        scores=score(np.full((40, 40), 7)),
        spec=spec,
        arch="none",
        images=[],
        num_images=0,
        history=[],
        training={},
        settings={},
        origin={},
    )
    page = browser.new_page(viewport={"width": 700, "height": 900})
    page.goto((tmp_path / "report.html").as_uri())
    page.emulate_media(media="print")
    for table in page.locator(".scroll").all():
        assert table.evaluate("e => e.scrollWidth <= e.clientWidth")
    page.close()


def _boxes(place: Any, selector: str) -> list[dict[str, float]]:
    found = [element.bounding_box() for element in place.locator(selector).all()]
    assert found
    return found
