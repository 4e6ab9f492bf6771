"""The benchmark command."""

import dataclasses
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tiramisu.atomic import make_folder, write_file
from tiramisu.benchmark import comparison_report as report
from tiramisu.benchmark.comparison import Comparison, UnavailableError, compare
from tiramisu.benchmark.config import BenchmarkConfig
from tiramisu.benchmark.contenders import Case, check_case, check_contender, default_contenders
from tiramisu.benchmark.loading_speed import compare_loading
from tiramisu.devices import describe_machine, pick_device
from tiramisu.models.zoo import ZOO
from tiramisu.settings import explain
from tiramisu.text import did_you_mean
from tiramisu.visual.pictures import save_png

STANDARD: tuple[dict[str, Any], ...] = (  # settings of the comparisons in docs/speed.md
    {"arch": "fc103"},
    {"arch": "fc103", "batch": 8, "contenders": ["plain", "ours", "ours+compile"]},
    {"arch": "densenet121"},
    {"arch": "fc103", "mode": "train"},
)


def run_benchmark(config: BenchmarkConfig) -> Path:
    """Measure, print tables, and write a JSON file, which is returned, and a picture beside it.

    Raises:
        ValueError: an unknown network or contender, one that can never run the case, no contender
            that can run here, or results of the same name in the folder.
    """
    given = (config.arch, config.mode, config.size, config.batch, config.contenders, config.study)
    changes = STANDARD if all(value is None for value in given) else ({},)
    tables = [_plan_table(dataclasses.replace(config, **change)) for change in changes]
    first = next(iter(tables[0]))
    name = f"compare_{_name_cases(list(tables[0]))}"
    if len(tables) > 1:
        name = f"standard_{first.precision}_{first.device}"
    elif config.study == "data":
        name = name.replace("compare", f"data_{Path(config.data).stem}", 1)
    json_path, png_path = (Path(config.out, f"{name}.{ending}") for ending in ("json", "png"))
    if (json_path.exists() or png_path.exists()) and not config.overwrite:
        raise ValueError(
            f"{json_path} exists already; give --overwrite, or another folder by --out"
        )
    make_folder(Path(config.out))
    torch.set_num_threads(first.threads)
    machine = describe_machine(device=first.device, threads=first.threads)
    print("  ".join(f"{key} {value}" for key, value in machine.items()))
    measured: list[Comparison] = []
    problems = []
    for table in tables:
        before = len(measured)
        for case, contenders in table.items():
            try:
                measured.append(_compare(contenders, case, config))
            except UnavailableError as problem:
                problems.append(f"{case.title}: {problem}")
                print(f"left out, {problems[-1]}", file=sys.stderr)
                continue
            # After each comparison: if a later one fails, the earlier ones are kept.
            described = [report.describe_comparison(comparison) for comparison in measured]
            document = {"machine": machine, "comparisons": described}
            write_file(json_path, json.dumps(document, indent=2) + "\n")
            grows = len(tables) == 1 and len(measured) > 1
            picture = report.plot_growth(measured) if grows else report.plot_bars(measured)
            save_png(png_path, picture)
        if len(measured) > before:
            print(f"\n{report.format_comparisons(measured[before:])}", flush=True)
    if not measured:
        raise ValueError("; ".join(problems))
    print(f"\nwritten: {json_path}, {png_path}")
    return json_path


def _plan_table(config: BenchmarkConfig) -> dict[Case, list[str]]:
    """All combinations of the networks, sizes and batches, each with its contenders."""
    values: Any = (config.arch or "fc103", config.size, config.batch)
    lists = [value if isinstance(value, list) else [value] for value in values]
    cases = [_make_case(config, *values) for values in itertools.product(*lists)]
    for case in cases:
        check_case(case)
    if config.study == "data":
        is_one = len(cases) == 1 and cases[0].entry.task == "segmentation"
        if not is_one or cases[0].mode != "train" or config.contenders:
            raise ValueError(
                "--study data: it trains one segmentation network of ours; leave out --contenders "
                "and --mode, and give one of fc56, fc67 and fc103, one size and one batch"
            )
        return {cases[0]: []}
    table = {}
    for case in cases:
        names = default_contenders(case)
        names = config.contenders or (names if len(cases) == 1 else [names[0], "ours"])
        table[case] = list(dict.fromkeys(names))
        for contender in table[case]:
            check_contender(contender, case)
    return table


def _make_case(
    config: BenchmarkConfig, arch: str, size: tuple[int, int] | None, batch: int | None
) -> Case:
    if arch not in ZOO:
        raise ValueError(explain("arch", arch, f"one of {', '.join(ZOO)}{did_you_mean(arch, ZOO)}"))
    mode = config.mode or ("train" if config.study else "infer")
    # As in the paper, FC-DenseNets train on 3 crops of 224x224.
    trains_crops = mode == "train" and ZOO[arch].task == "segmentation"
    height, width = size or ((224, 224) if trains_crops else ZOO[arch].size)
    return Case(
        arch=arch,
        mode=mode,
        batch=batch or (1 if mode == "infer" else 3 if trains_crops else 8),
        height=height,
        width=width,
        precision=config.precision,
        device=pick_device(config.accelerator).type,
        threads=config.threads or torch.get_num_threads(),
    )


def _name_cases(cases: Sequence[Case]) -> str:
    """Such as fc56_infer_1-2x96x128_fp32_cpu, with all values that the cases have."""
    names = ("arch", "mode", "batch", "size", "precision", "device")
    values = ["-".join(dict.fromkeys(str(getattr(case, name)) for case in cases)) for name in names]
    return "{}_{}_{}x{}_{}_{}".format(*values)


def _compare(contenders: Sequence[str], case: Case, config: BenchmarkConfig) -> Comparison:
    if config.study is None:
        options: dict[str, Any] = {"rounds": config.rounds, "seconds": config.seconds}
        return compare(contenders, case, memory=config.memory, **options)
    seconds = config.seconds / 12  # two speeds, from memory and from files, by 0, 1 and 2 workers
    return compare_loading(case, data=config.data, data_root=config.data_root, seconds=seconds)
