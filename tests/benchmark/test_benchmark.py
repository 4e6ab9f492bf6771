"""The benchmark command: which cases it compares, and what it writes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tiramisu import commands
from tiramisu.benchmark import benchmark
from tiramisu.benchmark.comparison import Comparison, Result, UnavailableError
from tiramisu.benchmark.config import BenchmarkConfig
from tiramisu.benchmark.contenders import Case

Compared = list[tuple[list[str], Case]]


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Compared:
    """The comparisons that the command makes, without running a network; batch 8 cannot run."""
    calls: Compared = []

    def compare(contenders: list[str], case: Case, **_: object) -> Comparison:
        if case.batch == 8 and case.arch == "fc56":
            raise UnavailableError("ours skipped: out of memory")
        calls.append((contenders, case))
        results = [
            Result(contender=name, seconds=[0.5], multiply_adds=case.batch) for name in contenders
        ]
        return Comparison(case=case, limit=1e9, results=results, notes={})

    monkeypatch.setattr(benchmark, "compare", compare)
    return calls


def run(out: Path, *arguments: str) -> dict[str, object]:
    """The JSON that the command writes; its picture lies beside it."""
    commands.benchmark([*arguments, "--out", str(out), "--accelerator", "cpu"])
    (path,) = out.glob("*.json")
    assert path.with_suffix(".png").is_file()
    document: dict[str, object] = json.loads(path.read_text())
    return document


def test_lists_are_combined(
    tmp_path: Path, compared: Compared, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--arch", "[fc56,densenet121]", "--batch", "[1,2]", "--size", "[[32,64],[64,96]]")
    document = run(tmp_path, *arguments)
    cases = [(case.arch, case.size, case.batch) for _, case in compared]
    assert cases == [
        (arch, size, batch)
        for arch in ("fc56", "densenet121")
        for size in ("32x64", "64x96")
        for batch in (1, 2)
    ]
    assert [names for names, _ in compared] == [["plain", "ours"]] * 4 + [
        ["torchvision", "ours"]
    ] * 4
    assert len(document["comparisons"]) == 8  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.glob("*.json")] == [
        "compare_fc56-densenet121_infer_1-2x32x64-64x96_fp32_cpu.json"
    ]
    assert capsys.readouterr().out.count("by arch and size and batch, from fc56") == 1


def test_one_value_compares_all_ways_to_run(tmp_path: Path, compared: Compared) -> None:
    document = run(tmp_path, "--arch", "fc67", "--size", "[96,128]", "--threads", "3")
    ((names, case),) = compared
    assert names == ["plain", "ours", "ours+compile", "ours+onnx", "ours+openvino",
                     "ours+openvino-int8"]  # fmt: skip
    assert case == Case(arch="fc67", mode="infer", batch=1, height=96, width=128, threads=3)
    assert {"processor", "cores", "threads", "torch", "tiramisu-seg", "date"} <= set(
        document["machine"]  # type: ignore[call-overload]
    )
    assert (tmp_path / "compare_fc67_infer_1x96x128_fp32_cpu.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "batch", "size"),
    [
        (("--mode", "train"), 3, "224x224"),
        (("--arch", "densenet121", "--mode", "train"), 8, "224x224"),
        (("--arch", "densenet40_12"), 1, "32x32"),
        (("--mode", "infer"), 1, "360x480"),
    ],
)
def test_sizes_are_those_of_the_paper_by_default(
    arguments: tuple[str, ...], batch: int, size: str, tmp_path: Path, compared: Compared
) -> None:
    run(tmp_path, *arguments)
    ((_, case),) = compared
    assert (case.batch, case.size) == (batch, size)


def test_without_options_it_makes_the_comparisons_of_the_readme(
    tmp_path: Path, compared: Compared, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)
    assert [(case.arch, case.mode, case.batch, len(names)) for names, case in compared] == [
        ("fc103", "infer", 1, 6),
        ("fc103", "infer", 8, 3),
        ("densenet121", "infer", 1, 4),
        ("fc103", "train", 3, 3),
    ]
    assert capsys.readouterr().out.count("(ratios to ") == 4
    assert (tmp_path / "standard_fp32_cpu.json").is_file()


def test_what_was_measured_before_memory_ran_out_is_kept(
    tmp_path: Path, compared: Compared, capsys: pytest.CaptureFixture[str]
) -> None:
    document = run(tmp_path, "--arch", "fc56", "--batch", "[1,2,8]")
    written: list[dict[str, dict[str, int]]] = document["comparisons"]  # type: ignore[assignment]
    assert [comparison["case"]["batch"] for comparison in written] == [1, 2]
    assert "out of memory" in capsys.readouterr().err
    with pytest.raises(ValueError, match="out of memory"):
        run(tmp_path / "other", "--arch", "fc56", "--batch", "8")


def test_results_are_replaced_only_when_asked(tmp_path: Path, compared: Compared) -> None:
    run(tmp_path, "--arch", "fc56")
    with pytest.raises(ValueError, match="--overwrite"):
        run(tmp_path, "--arch", "fc56")
    assert len(compared) == 1
    run(tmp_path, "--arch", "fc56", "--overwrite")
    assert len(compared) == 2


def test_contenders_are_those_given(tmp_path: Path, compared: Compared) -> None:
    run(tmp_path, "--arch", "fc56", "--batch", "[1,2]", "--contenders", "[ours,plain,ours]")
    assert [names for names, _ in compared] == [["ours", "plain"]] * 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--arch", "fc57"), "--arch is fc57; expected one of fc56"),
        (("--arch", "[fc56,fc57]"), "did you mean fc67"),
        (("--contenders", "[ours,mine]"), "'mine' is unknown"),
        (("--contenders", "[]"), "one value or more"),
        (("--batch", "[]"), "one value or more"),
        (("--batch", "[1,0]"), "1 to 65536"),
        (("--arch", "densenet121", "--contenders", "[plain,ours]"), "leave it out"),
        (("--size", "[16,480]"), "32 to 16384"),
        (("--size", "[[32,32],[16,480]]"), "32 to 16384"),
        (("--precision", "fp16"), "fp16 needs a GPU"),
        (("--size", "[16384,16384]", "--batch", "64"), "--batch 64 with --size .* GiB of memory"),
        (("--rounds", "0"), "1 to 1000000"),
        (("--threads", "0"), "1 to 1024"),
        (("--study", "size"), "--study is size; expected data"),
        (("--study", "data", "--mode", "infer"), "--study data"),
        (("--study", "data", "--arch", "densenet121"), "--study data"),
        (("--study", "data", "--batch", "[1,2]"), "one size and one batch"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words) as error:
        run(tmp_path / "new", *arguments)
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_settings_are_checked_in_python_too() -> None:
    with pytest.raises(ValueError, match="--batch"):
        BenchmarkConfig(batch=[2, 0])
