"""The benchmark command."""

import dataclasses
import functools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from tiramisu.benchmark.cases import Case, Mode, default_batch, default_size
from tiramisu.benchmark.chart import plot_comparisons, plot_data_path, plot_growth, plot_tiles
from tiramisu.benchmark.compare import Comparison, compare
from tiramisu.benchmark.config import BenchmarkConfig
from tiramisu.benchmark.contenders import (
    Contender,
    check_contender,
    default_contenders,
    growing_contenders,
    parse_contender,
)
from tiramisu.benchmark.data_path import measure_data_path, training_of
from tiramisu.benchmark.growth import grow, predict_in_tiles
from tiramisu.benchmark.machine import describe_machine
from tiramisu.benchmark.networks import UnavailableError
from tiramisu.benchmark.result_tables import (
    describe_comparison,
    format_comparison,
    format_data_path,
    format_growth,
    format_tiles,
)
from tiramisu.checkpoints.run_folder import make_folder
from tiramisu.devices import pick_device
from tiramisu.inference.predictor import MIN_SIDE
from tiramisu.models import list_models
from tiramisu.visual.pictures import Picture, save_png

DEFAULT: list[str] | None = None
STANDARD: tuple[tuple[str, Mode, int, list[str] | None], ...] = (
    ("fc103", "infer", 1, DEFAULT),
    ("fc103", "infer", 8, ["plain", "ours", "ours+compile"]),
    ("densenet121", "infer", 1, DEFAULT),
    ("fc103", "train", 3, DEFAULT),
)
"""Network, mode, batch and contenders of the comparisons in the README."""
Meeting = tuple[Case, list[Contender]]
Measured = tuple[dict[str, object], Picture]
"""What goes into the JSON, and the picture."""


def run_benchmark(config: BenchmarkConfig) -> Path:
    """Measure, print tables, and write JSON and a picture; returns the JSON's path.

    Raises:
        ValueError: an unknown network or contender, one that can never run the case, or results
            of the same name in the folder.
    """
    device = pick_device(config.accelerator).type
    threads = config.threads or torch.get_num_threads()
    asked = (config.arch, config.mode, config.size, config.batch, config.contenders, config.study)
    if all(value is None for value in asked):
        configs = [
            dataclasses.replace(config, arch=arch, mode=mode, batch=batch, contenders=contenders)
            for arch, mode, batch, contenders in STANDARD
        ]
        name = f"standard_{config.precision}_{device}"
    else:
        configs = [config]
        case = _read_case(config, device, threads)
        slug = f"{case.arch}_{device}" if config.study == "tiles" else case.slug
        if config.study == "data":
            slug = f"{Path(config.data).stem}_{slug}"
        name = f"{config.study or 'compare'}_{slug}"
    cases = [_read_case(config, device, threads) for config in configs]
    meetings = [
        (case, _read_contenders(config, case)) for config, case in zip(configs, cases, strict=True)
    ]
    json_path, png_path = _output_files(config, name)

    torch.set_num_threads(threads)
    machine = describe_machine(device=device, threads=threads)
    print("  ".join(f"{key} {value}" for key, value in machine.items()))
    if config.study == "tiles":
        measured = _study_tiles(meetings[0][0])
    elif config.study == "data":
        measured = _study_data(meetings[0][0], config)
    elif config.study is not None:
        measured = _study(meetings[0], config)
    else:
        measured = _compare_all(meetings, config)
    # After each comparison anew: what is measured is not lost with the rest.
    for document, picture in measured:
        json_path.write_text(json.dumps({"machine": machine, **document}, indent=2) + "\n")
        save_png(png_path, picture)
    print(f"\nwritten: {json_path}, {png_path}")
    return json_path


def _read_case(config: BenchmarkConfig, device: str, threads: int) -> Case:
    arch = config.arch or "fc103"
    mode = config.mode or ("train" if config.study == "data" else "infer")
    if arch not in list_models():
        raise ValueError(f"--arch is {arch}; expected one of {', '.join(list_models())}")
    height, width = config.size or default_size(arch, mode)
    return Case(
        arch=arch,
        mode=mode,
        batch=config.batch or default_batch(arch, mode),
        height=height,
        width=width,
        precision=config.precision,
        device=device,
        threads=threads,
    )


def _read_contenders(config: BenchmarkConfig, case: Case) -> list[Contender]:
    """Who takes part, found to go together with every case that will be run."""
    if config.study == "tiles":
        chosen = (config.contenders, config.mode, config.size, config.batch)
        if any(value is not None for value in chosen) or config.precision != "fp32":
            raise ValueError(
                "--study tiles: it predicts images of its own sizes, by our networks in fp32; "
                "leave out --contenders, --mode, --size, --batch and --precision"
            )
        if not case.segments:
            raise ValueError("--study tiles: give fc56, fc67 or fc103 as --arch")
        return []
    if config.study == "data":
        if config.contenders is not None or case.mode == "infer" or not case.segments:
            raise ValueError(
                "--study data: it trains our segmentation networks alone; leave out --contenders "
                "and --mode, and give fc56, fc67 or fc103 as --arch"
            )
        return []
    if config.study == "depth" and not case.segments:
        raise ValueError("--study depth: it compares fc56, fc67 and fc103; leave out --arch")
    if config.study == "size" and (smallest := min(case.height, case.width)) < 2 * MIN_SIDE:
        raise ValueError(
            f"--size has a side of {smallest}; expected {2 * MIN_SIDE} pixels or more, of which "
            "--study size takes a half at first"
        )
    names = config.contenders
    if names is None:
        names = growing_contenders(case) if config.study else default_contenders(case)
    contenders = [parse_contender(name) for name in dict.fromkeys(names)]
    for contender in contenders:
        check_contender(contender, case)
    return contenders


def _output_files(config: BenchmarkConfig, name: str) -> tuple[Path, Path]:
    """Where the results go; refuses to replace earlier ones unless asked to."""
    folder = Path(config.out)
    json_path, png_path = folder / f"{name}.json", folder / f"{name}.png"
    if (json_path.exists() or png_path.exists()) and not config.overwrite:
        raise ValueError(
            f"{json_path} exists already; replace it by --overwrite, or choose another folder by "
            "--out"
        )
    make_folder(folder)
    return json_path, png_path


def _compare_all(meetings: Sequence[Meeting], config: BenchmarkConfig) -> Iterator[Measured]:
    comparisons = []
    for comparison in _compare(meetings, config):
        comparisons.append(comparison)
        print(f"\n{format_comparison(comparison)}", flush=True)
        described = [describe_comparison(comparison) for comparison in comparisons]
        yield {"comparisons": described}, plot_comparisons(comparisons)


def _study(meeting: Meeting, config: BenchmarkConfig) -> Iterator[Measured]:
    case, contenders = meeting
    assert config.study in ("size", "depth", "batch")
    cases = grow(case, config.study)
    values = {grown: value for value, grown in cases.items()}
    comparisons = {}
    for comparison in _compare([(grown, contenders) for grown in cases.values()], config):
        comparisons[values[comparison.case]] = comparison
        described = [describe_comparison(comparison) for comparison in comparisons.values()]
        document: dict[str, object] = {"study": config.study, "comparisons": described}
        yield document, plot_growth(config.study, comparisons)
    print(f"\n{format_growth(config.study, comparisons)}")


def _study_tiles(case: Case) -> Iterator[Measured]:
    results = []
    for result in predict_in_tiles(case, say=_say):
        results.append(result)
        document: dict[str, object] = {
            "study": "tiles",
            "arch": case.arch,
            "device": case.device,
            "threads": case.threads,
            "results": [dataclasses.asdict(result) for result in results],
        }
        yield document, plot_tiles(case, results)
    print(f"\n{format_tiles(case, results)}")


def _study_data(case: Case, config: BenchmarkConfig) -> Iterator[Measured]:
    training = training_of(case, data=config.data, data_root=config.data_root)
    # Two rates for each of three numbers of workers, from memory and read anew.
    path = measure_data_path(training, seconds=config.seconds / 12, say=_say)
    print(f"\n{format_data_path(path)}")
    document: dict[str, object] = {
        "study": "data",
        "case": dataclasses.asdict(case),
        "data": config.data,
        **dataclasses.asdict(path),
    }
    yield document, plot_data_path(path)


def _compare(meetings: Sequence[Meeting], config: BenchmarkConfig) -> Iterator[Comparison]:
    """The comparisons one by one; what no contender can run is told of, and left out."""
    reasons = []
    for case, contenders in meetings:
        try:
            yield compare(
                contenders,
                case,
                rounds=config.rounds,
                seconds=config.seconds,
                memory=config.memory,
                say=functools.partial(_say, f"{case.title}: "),
            )
        except UnavailableError as reason:
            reasons.append(f"{case.title}: {reason}")
            _say(f"left out, {reasons[-1]}")
    if len(reasons) == len(meetings):
        raise ValueError("; ".join(reasons))


def _say(*words: str) -> None:
    """Tell what is going on, beside the results."""
    print(*words, sep="", file=sys.stderr, flush=True)
