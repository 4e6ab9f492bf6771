"""What was measured, as tables to read and as JSON to keep."""

import dataclasses
from collections.abc import Mapping, Sequence

from tiramisu.benchmark.cases import Case
from tiramisu.benchmark.compare import Comparison, Result
from tiramisu.benchmark.data_path import DataPath
from tiramisu.benchmark.growth import TiledResult

HEADINGS = (
    "contender",
    "time",
    "spread",
    "ratio",
    "images/s",
    "memory",
    "ratio",
    "GMAC",
    "GFLOP/s",
    "of limit",
    "max diff",
)
DATA_HEADINGS = (
    "in memory",
    "workers",
    "filled in",
    "loads",
    "loads : trains",
    "trained",
    "of full",
)


def format_comparison(comparison: Comparison) -> str:
    """One comparison as a table of about 100 columns, with notes below."""
    reference = comparison.results[0].contender
    heading = f"{comparison.case.title} (ratios to {reference})"
    rows = [_cells(result, comparison, reference=reference) for result in comparison.results]
    return "\n".join([heading, format_table(HEADINGS, rows), *_notes(comparison)])


def format_growth(what: str, comparisons: Mapping[str, Comparison]) -> str:
    """Comparisons that differ in one thing, by its value, as one table."""
    first = next(iter(comparisons.values()))
    reference = first.results[0].contender
    heading = f"growing {what}, from {first.case.title} (ratios to {reference})"
    rows = [
        (value if index == 0 else "", *_cells(result, comparison, reference=reference))
        for value, comparison in comparisons.items()
        for index, result in enumerate(comparison.results)
    ]
    notes = [f"{value}: {line}" for value, c in comparisons.items() for line in _notes(c)]
    return "\n".join([heading, format_table((what, *HEADINGS), rows, left=2), *notes])


def format_tiles(case: Case, results: Sequence[TiledResult]) -> str:
    """Large images whole and in tiles, as a table."""
    rows = [
        (
            name_tile(result.tile),
            f"{result.height}x{result.width}",
            "-" if result.seconds is None else format_seconds(result.seconds),
            format_bytes(result.peak_bytes),
            result.note,
        )
        for result in results
    ]
    headings = ("predicted", "image", "time", "memory", "note")
    return "\n".join(
        [f"{case.arch}: large images, {case.threads} threads", format_table(headings, rows)]
    )


def format_data_path(path: DataPath) -> str:
    """A data path as a table."""
    rows = [
        (
            "yes" if feeding.cache else "no",
            str(feeding.num_workers),
            format_seconds(feeding.fill_seconds) if feeding.cache else "-",
            f"{format_rate(feeding.loaded)}/s",
            format_rate(feeding.loaded / path.trainable),
            f"{format_rate(feeding.trained)}/s",
            f"{100 * feeding.trained / path.trainable:.0f} %",
        )
        for feeding in path.feedings
    ]
    full = f"{path.title}: a training that never waits takes {format_rate(path.trainable)} images/s"
    return "\n".join([full, format_table(DATA_HEADINGS, rows)])


def format_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Cells in columns: the first `left` of them to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([rule, line(headings), rule, *map(line, rows), rule])


def describe_comparison(comparison: Comparison) -> dict[str, object]:
    """A comparison for JSON: what was measured, and what the table derives from it."""
    reference = comparison.results[0]
    return {
        "case": dataclasses.asdict(comparison.case),
        "reference": reference.contender,
        "limit_gflops": comparison.limit / 1e9,
        "results": [
            {
                **dataclasses.asdict(result),
                "median_seconds": result.median,
                "time_ratio": result.median / reference.median,
                "memory_ratio": memory_ratio(result, reference),
                "gflops": 2 * result.multiply_adds / result.median / 1e9,
                "part_of_limit": 2 * result.multiply_adds / result.median / comparison.limit,
            }
            for result in comparison.results
        ],
        "notes": comparison.notes,
    }


def memory_ratio(result: Result, reference: Result) -> float | None:
    """Peak memory as a part of the reference's, where both are measured."""
    if not result.peak_bytes or not reference.peak_bytes:
        return None
    return result.peak_bytes / reference.peak_bytes


def format_seconds(seconds: float) -> str:
    """About three digits: 1.23 s, 45.6 ms."""
    if seconds < 0.9995:
        return f"{format_rate(1000 * seconds)} ms"
    return f"{format_rate(seconds)} s"


def format_rate(number: float) -> str:
    """About three digits, however large: 0.123, 1.23, 45.6, 1234."""
    return f"{number:.0f}" if number >= 99.95 else f"{number:#.3g}"


def format_bytes(count: int | None) -> str:
    """In megabytes, or gigabytes from one on."""
    if count is None:
        return "-"
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"


def name_tile(tile: int | None) -> str:
    """How an image was predicted, in words."""
    return "whole" if tile is None else f"tiles of {tile}"


def _cells(result: Result, comparison: Comparison, *, reference: str) -> tuple[str, ...]:
    # A network that outgrew the memory has no ratios to offer any more.
    base = next((r for r in comparison.results if r.contender == reference), None)
    seconds = result.median
    ratio = memory_ratio(result, base) if base else None
    speed = 2 * result.multiply_adds / seconds
    return (
        result.contender,
        format_seconds(seconds),
        f"{format_seconds(min(result.seconds))} .. {format_seconds(max(result.seconds))}",
        f"{seconds / base.median:.2f}" if base else "-",
        format_rate(comparison.case.batch / seconds),
        format_bytes(result.peak_bytes),
        "-" if ratio is None else f"{ratio:.2f}",
        f"{result.multiply_adds / 1e9:.1f}",
        f"{speed / 1e9:.0f}",
        # The limit is measured in floating point: it does not bound 8-bit integers.
        "-" if result.contender.endswith("int8") else f"{100 * speed / comparison.limit:.0f} %",
        "-" if result.difference is None else f"{result.difference:.1e}",
    )


def _notes(comparison: Comparison) -> list[str]:
    """What the table has no column for, a line each."""
    limit = f"{comparison.limit / 1e9:.0f} GFLOP/s in {comparison.case.precision}"
    lines = [f"limit: {limit}, the fastest large product of matrices in the same turns"]
    for result in comparison.results:
        if result.setup_seconds:
            what = "compiled" if "compile" in result.contender.split("+") else "exported"
            lines.append(f"{result.contender}: {what} in {result.setup_seconds:.0f} s")
    return lines + [f"{name}: {note}" for name, note in comparison.notes.items()]
