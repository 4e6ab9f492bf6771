"""Runs as a table, and as a page with their curves over one another."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from tiramisu.evaluation.plots import list_points
from tiramisu.runs.run_summary import SCORES, RunSummary, list_differences
from tiramisu.text import escape_controls, format_table
from tiramisu.visual.page import (
    LINE,
    SERIES,
    add_legend,
    figure_svg,
    legend_text,
    new_axes,
    write_page,
)

_DASHES = ("-", "--", "-.", ":")  # for people who cannot tell the colors apart
_CURVES = {
    "train_loss": "training loss",
    "val_loss": "validation loss",
    "val_miou": "validation mIoU, %",
    "val_top1": "validation top-1, %",
}


def format_runs(runs: Sequence[RunSummary]) -> str:
    """A line for each run: data, network, scores, epochs, time, date, seed and differences."""
    return format_table(list_rows(runs), left=3)


def list_rows(runs: Sequence[RunSummary]) -> list[list[str]]:
    """The cells of the table, the heading first."""
    scores = [name for name in SCORES if any(name in run.scores for run in runs)]
    heading = ["run", "data", "network", *(SCORES[name] for name in scores)]
    rows = [[*heading, "epochs", "time", "date", "seed", "what differs"]]
    for run, differences in zip(runs, list_differences(runs), strict=True):
        differs = " ".join(f"{name}={value}" for name, value in differences.items())
        cells = [
            run.name,
            run.data,
            str(run.settings.get("arch", "")),
            *(f"{100 * run.scores[n]:.1f}" if n in run.scores else "-" for n in scores),
            f"{len(run.history)}/{run.settings.get('epochs', '?')}",
            _show_time(run.seconds),
            f"{run.date:%Y-%m-%d %H:%M}",
            str(run.settings.get("seed", "")),
            differs,
        ]
        rows.append([escape_controls(cell) for cell in cells])
    return rows


def write_runs_page(path: Path, runs: Sequence[RunSummary], *, title: str) -> None:
    """Write the table and the curves as a page. Raises OSError if it cannot be written.

    A run has the same color in all figures; those after the sixth are grey.
    """
    rows = list_rows(runs)
    values = {
        "title": title,
        "headings": rows[0],
        "rows": rows[1:],
        "figures": [svg for name, label in _CURVES.items() if (svg := _plot(runs, name, label))],
        "starts": [(run.name, run.origin) for run in runs if run.origin],
    }
    write_page(path, "runs.html", values)


def _plot(runs: Sequence[RunSummary], name: str, label: str) -> str | None:
    lines = [list_points(run.history, name) for run in runs]
    if not any(lines):
        return None
    figure, axes = new_axes(width=4.6, height=2.8)
    for number, (run, points) in enumerate(zip(runs, lines, strict=True)):
        if not points:
            continue
        epochs, values = zip(*points, strict=True)
        is_named = number < len(SERIES)  # colors of more lines could not be told apart
        axes.plot(
            epochs,
            values,
            marker="o" if len(points) <= 30 else "",
            ms=2.5,
            lw=1.4 if is_named else 0.8,
            linestyle=_DASHES[number % len(_DASHES)] if is_named else "-",
            color=SERIES[number] if is_named else LINE,
            label=legend_text(run.name) if is_named else None,
            zorder=3 if is_named else 2,
        )
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    add_legend(axes)
    return figure_svg(figure, title=f"{label} over the epochs of the runs")


def _show_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
