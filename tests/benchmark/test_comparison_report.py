"""Tables, JSON and pictures of known times."""

import json

import pytest
from matplotlib.figure import Figure

from tiramisu.benchmark import comparison_report
from tiramisu.benchmark.comparison import Comparison, Result
from tiramisu.benchmark.comparison_report import (
    describe_comparison,
    format_comparisons,
    plot_bars,
    plot_growth,
)
from tiramisu.benchmark.contenders import Case


def make_comparison(*, batch: int = 2) -> Comparison:
    work = {"multiply_adds": 10**9}
    return Comparison(
        case=Case(arch="fc56", mode="infer", batch=batch, height=32, width=48),
        limit=20e9,
        results=[
            Result(contender="plain", seconds=[0.5, 0.4, 0.9], peak_bytes=4 * 10**9, **work),
            Result(
                contender="ours",
                seconds=[0.2, 0.2, 0.1],
                peak_bytes=10**9,
                difference=3e-6,
                **work,
            ),
            Result(contender="ours+compile", seconds=[0.25] * 3, setup_seconds=61.0, **work),
        ],
        notes={"ours+onnx": "skipped: onnxruntime is not installed"},
    )


def test_ratios_are_of_medians_to_the_first() -> None:
    described = describe_comparison(make_comparison())
    plain, ours, compiled = described["results"]  # type: ignore[misc]
    assert described["reference"] == "plain"
    assert plain["median_seconds"] == 0.5
    assert [r["time_ratio"] for r in (plain, ours, compiled)] == [1.0, 0.4, 0.5]
    assert [r["memory_ratio"] for r in (plain, ours, compiled)] == [1.0, 0.25, None]
    assert ours["gflops"] == pytest.approx(10)  # 1 G multiply-adds are 2 G operations, in 0.2 s
    assert ours["part_of_limit"] == pytest.approx(0.5)
    assert json.loads(json.dumps(described))["case"]["width"] == 48
    comparison = make_comparison()
    comparison.results[0].peak_bytes = 0  # too little to be seen: nothing can be compared with it
    first, other, _ = describe_comparison(comparison)["results"]  # type: ignore[misc]
    assert first["memory_ratio"] is other["memory_ratio"] is None


def test_the_table_shows_every_figure() -> None:
    lines = format_comparisons([make_comparison()]).splitlines()
    assert lines[0] == "fc56 inference, 2x3x32x48, fp32, 1 threads (ratios to plain)"
    (ours,) = (line.split("  ") for line in lines if line.startswith("ours "))
    assert [cell.strip() for cell in ours if cell] == [
        "ours", "200.00 ms", "100.00 ms .. 200.00 ms", "0.40", "10.00", "1.00 GB", "0.25", "1.0",
        "10", "50%", "3.0e-06",
    ]  # fmt: skip
    (compiled,) = (line.split() for line in lines if line.startswith("ours+compile  "))
    assert compiled[-6:] == ["-", "-", "1.0", "8", "40%", "-"]
    assert "ours+compile: prepared in 61 s" in lines
    assert "ours+onnx: skipped: onnxruntime is not installed" in lines
    assert any(line.startswith("limit: 20 GFLOP/s in fp32") for line in lines)


def test_a_table_of_several_cases_names_what_differs() -> None:
    lines = format_comparisons([make_comparison(batch=1), make_comparison(batch=4)]).splitlines()
    assert lines[0].startswith("by batch, from fc56 inference, 1x3x32x48")
    assert [line.split()[:2] for line in lines[2:9]] == [
        ["batch", "contender"],
        *[[batch, name] for batch in "14" for name in ("plain", "ours", "ours+compile")],
    ]
    assert "4: ours+compile: prepared in 61 s" in lines


def drawn_figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    monkeypatch.setattr(comparison_report, "render", figures.append)
    return figures


def test_bars_are_as_long_as_the_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn_figures(monkeypatch)
    plot_bars([make_comparison()])
    times, memory = figures[0].axes
    assert [bar.get_width() for bar in times.patches] == [0.5, 0.2, 0.25]
    assert [bar.get_width() for bar in memory.patches] == [4.0, 1.0, 0.0]
    assert [text.get_text() for text in memory.texts][1:] == ["1.00 GB   0.25 x", "not measured"]


def test_lines_show_the_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn_figures(monkeypatch)
    comparisons = [make_comparison(batch=batch) for batch in (4, 1)]
    for result in comparisons[0].results:
        result.multiply_adds *= 4
        result.seconds = [3.0]
    plot_growth(comparisons)
    times, memory = figures[0].axes
    assert [line.get_label() for line in times.lines] == ["plain", "ours", "ours+compile"]
    assert times.lines[0].get_xydata().tolist() == [[1.0, 0.5], [4.0, 3.0]]
    assert memory.lines[1].get_xydata().tolist() == [[1.0, 1.0], [4.0, 1.0]]
    assert [label.get_text() for label in times.get_xticklabels()] == ["4", "1"]


def test_memory_that_was_not_measured_has_no_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn_figures(monkeypatch)
    comparisons = [make_comparison(batch=batch) for batch in (1, 4)]
    for result in [*comparisons[0].results, *comparisons[1].results]:
        result.peak_bytes = None
    plot_bars(comparisons)
    plot_growth(comparisons)
    assert [len(figure.axes) for figure in figures] == [2, 1]
