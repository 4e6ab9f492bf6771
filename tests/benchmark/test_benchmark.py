"""The benchmark command, on networks that run in milliseconds."""

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tiramisu import cli
from tiramisu.benchmark import growth, machine, networks, steps, timing
from tiramisu.benchmark import suite as benchmark_run
from tiramisu.benchmark.cases import Case
from tiramisu.benchmark.compare import Comparison, Result, compare
from tiramisu.benchmark.config import BenchmarkConfig
from tiramisu.benchmark.contenders import (
    check_contender,
    default_contenders,
    growing_contenders,
    parse_contender,
)
from tiramisu.benchmark.footprint import measure_apart
from tiramisu.benchmark.result_tables import describe_comparison, format_comparison

SMALL = ("--arch", "fc56", "--size", "[32,32]", "--rounds", "3", "--threads", "1")


@pytest.fixture(autouse=True)
def small_and_tidy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(machine, "SIDES", {"cpu": 128})
    monkeypatch.setattr(timing, "TURN_SECONDS", 0.0)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def run(out: Path, *arguments: str) -> dict[str, object]:
    """The JSON that the command writes; its picture lies beside it."""
    cli.benchmark([*arguments, "--out", str(out)])
    (path,) = out.glob("*.json")
    picture = np.asarray(Image.open(path.with_suffix(".png")))
    assert (picture != 255).any(axis=-1).sum() > 1000
    return json.loads(path.read_text())


def make_result(name: str, seconds: tuple[float, ...], **values: object) -> Result:
    settings = {"setup_seconds": 0.0, "peak_bytes": None, "multiply_adds": 10**9}
    settings |= {"difference": None}
    return Result(contender=name, seconds=seconds, **{**settings, **values})  # type: ignore[arg-type]


def make_comparison() -> Comparison:
    return Comparison(
        case=Case(arch="fc56", mode="infer", batch=2, height=32, width=32),
        limit=20e9,
        results=(
            make_result("plain", (0.5, 0.4, 0.9), peak_bytes=4_000_000_000),
            make_result("ours", (0.2, 0.2, 0.1), peak_bytes=10**9, difference=3e-6),
            make_result("ours+compile", (0.25, 0.25, 0.25), setup_seconds=61.0),
        ),
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
    json.dumps(described)


def test_the_table_shows_every_figure() -> None:
    table = format_comparison(make_comparison()).splitlines()
    (ours,) = (line for line in table if line.startswith("ours "))
    assert ours.split("  ")[0] == "ours"
    for cell in ("200 ms", "100 ms .. 200 ms", "0.40", "1.00 GB", "0.25", "10", "50 %", "3.0e-06"):
        assert f" {cell}" in ours
    assert "ours+compile: compiled in 61 s" in table
    assert "ours+onnx: skipped: onnxruntime is not installed" in table
    assert len({len(line) for line in table[1:] if set(line) == {"-"}}) == 1


def test_the_command_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = run(tmp_path, *SMALL, "--contenders", "[plain,ours]", "--memory", "false")
    printed = capsys.readouterr().out
    (comparison,) = document["comparisons"]  # type: ignore[misc]
    assert f"limit: {comparison['limit_gflops']:.0f} GFLOP/s" in printed
    plain, ours = comparison["results"]
    for result in (plain, ours):
        assert len(result["seconds"]) == 3
        assert 0 < min(result["seconds"]) <= result["median_seconds"] <= max(result["seconds"])
        assert result["peak_bytes"] is None
    assert ours["time_ratio"] == pytest.approx(ours["median_seconds"] / plain["median_seconds"])
    assert 0 < ours["difference"] < 1e-4
    assert comparison["case"]["threads"] == 1
    assert {"processor", "cores", "threads", "torch", "tiramisu-seg", "date"} <= set(
        document["machine"]
    )  # type: ignore[arg-type]
    assert "plain" in printed
    assert str(tmp_path) in printed


def test_results_are_replaced_only_when_asked(tmp_path: Path) -> None:
    arguments = (*SMALL, "--contenders", "[ours]", "--memory", "false")
    run(tmp_path, *arguments)
    with pytest.raises(ValueError, match="--overwrite"):
        run(tmp_path, *arguments)
    run(tmp_path, *arguments, "--overwrite")


def test_training_steps_compare(tmp_path: Path) -> None:
    document = run(tmp_path, *SMALL, "--mode", "train", "--memory", "false", "--batch", "2",
                   "--contenders", "[plain,ours]")  # fmt: skip
    (comparison,) = document["comparisons"]  # type: ignore[misc]
    assert comparison["case"]["mode"] == "train"
    assert comparison["results"][1]["difference"] < 1e-4


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells the peak")
def test_memory_is_measured_in_a_process_of_its_own() -> None:
    case = Case(arch="fc56", mode="infer", batch=1, height=64, width=64)
    peak = measure_apart(parse_contender("ours"), case)
    # The stack of the last block alone, (48 + 4 * 12) + 2 * 4 * 12 features a pixel in fp32.
    assert peak is not None
    assert 64 * 64 * 192 * 4 < peak < 100e6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--arch", "fc57"), "--arch is fc57; expected one of fc56"),
        (("--contenders", "[ours,mine]"), "'mine' is unknown"),
        (("--contenders", "[]"), "one or more"),
        (("--arch", "densenet121", "--contenders", "[plain,ours]"), "leave it out"),
        (("--mode", "train", "--contenders", "[ours+onnx]"), "leave it out"),
        (("--size", "[16,480]"), "32 pixels or more"),
        (("--study", "size", "--size", "[32,32]"), "64 pixels or more"),
        (("--rounds", "0"), "1 or more"),
        (("--threads", "0"), "1 or more"),
        (("--study", "tiles", "--mode", "train"), "--study tiles"),
        (("--study", "depth", "--arch", "densenet121"), "--study depth"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words) as error:
        run(tmp_path / "new", *arguments)
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_a_contender_that_is_absent_is_skipped_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(networks, "PLAIN", Path("nowhere.py"))
    case = Case(arch="fc56", mode="infer", batch=1, height=32, width=32)
    contenders = [parse_contender("plain"), parse_contender("ours")]
    options = {"rounds": 1, "seconds": 0.0, "memory": False, "say": lambda _: None}
    comparison = compare(contenders, case, **options)  # type: ignore[arg-type]
    assert [result.contender for result in comparison.results] == ["ours"]
    assert "clone" in comparison.notes["plain"]
    with pytest.raises(networks.UnavailableError, match="clone"):
        compare(contenders[:1], case, **options)  # type: ignore[arg-type]


def test_a_study_keeps_what_was_measured_before_memory_ran_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compare_small(contenders, case, **options):
        if case.batch > 2:
            raise networks.UnavailableError("ours skipped: out of memory")
        return dataclasses.replace(make_comparison(), case=case)

    monkeypatch.setattr(benchmark_run, "compare", compare_small)
    config = BenchmarkConfig(arch="fc56", study="batch", size=(64, 64), out=str(tmp_path))
    written = json.loads(benchmark_run.run_benchmark(config).read_text())
    assert [c["case"]["batch"] for c in written["comparisons"]] == [1, 2]
    monkeypatch.setattr(
        benchmark_run, "grow", lambda case, study: {"8": dataclasses.replace(case, batch=8)}
    )
    with pytest.raises(ValueError, match="out of memory"):
        benchmark_run.run_benchmark(dataclasses.replace(config, overwrite=True))


@pytest.mark.parametrize("arch", ["densenet121", "densenet264"])
def test_ours_grows_beside_a_reference(arch: str) -> None:
    case = Case(arch=arch, mode="infer", batch=1, height=64, width=64)
    expected = ["torchvision", "ours"] if arch == "densenet121" else ["ours"]
    assert growing_contenders(case) == expected
    for name in default_contenders(case):
        check_contender(parse_contender(name), case)


def test_an_exported_contender_runs_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the two functions that export and load, which are tested elsewhere."""
    exported = {}

    def export_model(model: object, path: Path, *, calibration: object, int8: bool) -> Path:
        exported[path] = model
        assert path.suffix == ".xml"
        assert int8 == bool(calibration)
        return path

    monkeypatch.setattr(steps, "export_model", export_model)
    monkeypatch.setattr(steps, "load_exported", exported.__getitem__)
    comparison = compare(
        [parse_contender(name) for name in ("ours", "ours+openvino", "ours+openvino-int8")],
        Case(arch="fc56", mode="infer", batch=1, height=32, width=32),
        rounds=1,
        seconds=0.0,
        memory=False,
        say=lambda _: None,
    )
    differences = [result.difference for result in comparison.results[1:]]
    assert len(exported) == 2
    assert all(difference is not None and difference < 1e-4 for difference in differences)


def test_a_study_has_a_row_for_each_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(growth, "BATCHES", (1, 3))
    document = run(tmp_path, "--study", "batch", *SMALL, "--memory", "false")
    assert document["study"] == "batch"
    batches = [c["case"]["batch"] for c in document["comparisons"]]  # type: ignore[attr-defined]
    assert batches == [1, 3]
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("1  ", "3  ")) for line in lines) == 2
    assert sum(" ours " in line for line in lines) == 2


def test_large_images_are_predicted_in_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(growth, "TILED_SIZES", ((96, 128),))
    monkeypatch.setattr(growth, "TILES", (64,))
    document = run(tmp_path, "--study", "tiles", "--arch", "fc56", "--threads", "1")
    (tiled,) = document["results"]  # type: ignore[misc]
    assert (tiled["tile"], tiled["height"], tiled["width"]) == (64, 96, 128)
    assert tiled["seconds"] > 0
    if sys.platform.startswith("linux"):
        assert tiled["peak_bytes"] > 1e6
    assert "tiles of 64" in capsys.readouterr().out


def test_what_memory_would_not_hold_is_not_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = {"arch": "fc56", "mode": "infer", "batch": 1, "height": 64, "width": 64}
    request = json.dumps({"case": case, "tile": None})
    monkeypatch.setattr(sys, "argv", ["growth", request])
    monkeypatch.setattr(growth, "free_bytes", lambda _device: 1000)
    growth.main()
    result = SimpleNamespace(**json.loads(capsys.readouterr().out))
    assert result.seconds is None
    assert "more than is free" in result.note
