"""What a run is, read from the files of its folder; no weights are loaded."""

import contextlib
import csv
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tiramisu.checkpoints.run_folder import CONFIG_NAME, ORIGIN_NAME
from tiramisu.data.description.yaml_file import YamlFile
from tiramisu.data.json_file import read_json
from tiramisu.evaluation.plots import list_points
from tiramisu.settings import show
from tiramisu.text import path_text, show_path

log = logging.getLogger(__name__)

_DEPTH = 3
"""Folders within folders in which runs are looked for: such as those of a cross-validation."""
_PLACES = (
    "out",
    "split_file",
    "resume",
    "check_data",
    "num_workers",
    "cache",
    "accelerator",
    "devices",
    "tile",
)
"""Settings that say where and how a run was made, and not what was trained."""
_SHOWN = ("data", "arch", "seed", "epochs")
"""Settings that have columns of their own."""
SCORES = {
    "mean_iou": "mIoU",
    "pixel_accuracy": "accuracy",
    "top1": "top-1",
    "top5": "top-5",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class RunSummary:
    """One run."""

    name: str
    """Its folder, seen from the one that was asked for."""
    folder: Path
    settings: Mapping[str, Any]
    history: Sequence[Mapping[str, str]]
    """The rows of metrics.csv."""
    scores: Mapping[str, float]
    """Of the published model on the validation split, 0..1, by the keys of `SCORES`."""
    origin: Mapping[str, Any]
    """Command, machine and versions of its last start; empty for runs of older versions."""
    date: datetime
    """When it was started last."""

    @property
    def seconds(self) -> float:
        """Time of all epochs."""
        return sum(value for _, value in list_points(self.history, "seconds"))

    @property
    def data(self) -> str:
        """The name of its data set."""
        path = Path(str(self.settings["data"]))
        return path.stem if path.suffix in (".yaml", ".yml") else path.name

    @property
    def main_score(self) -> float:
        """The score by which runs are compared; -1 where there is none."""
        return next((value for value in self.scores.values()), -1.0)


def find_runs(folder: Path) -> list[RunSummary]:
    """The runs in a folder, and in folders within it, the best of each data set first.

    Raises:
        FileNotFoundError: there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {folder}; give the one in which the folders of runs are"
        )
    found = ((path, _read_settings(path)) for path in _find_folders(folder, _DEPTH))
    runs = [
        _read_run(path, settings, name=path_text(_name(path, folder)))
        for path, settings in found
        if settings is not None
    ]
    if not runs:
        raise FileNotFoundError(f"there is no run in {folder}: no folder there has a {CONFIG_NAME}")
    return sorted(runs, key=lambda run: (run.data, -run.main_score, run.name))


def list_differences(runs: Sequence[RunSummary]) -> list[dict[str, str]]:
    """For each run the settings in which the runs of its data set differ, by name."""
    found: list[dict[str, str]] = []
    for run in runs:
        data = run.settings["data"]
        others = [other.settings for other in runs if other.settings["data"] == data]
        names = [name for name in run.settings if name not in (*_PLACES, *_SHOWN)]
        found.append(
            {
                name: show(run.settings[name])
                for name in names
                if any(other.get(name) != run.settings[name] for other in others)
            }
        )
    return found


def _find_folders(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / CONFIG_NAME).is_file():
        yield folder  # what lies in it is the run's, such as the files of a logger
        return
    with contextlib.suppress(OSError):  # a folder of someone else
        for inner in sorted(folder.iterdir()) if depth else ():
            if inner.is_dir() and not inner.is_symlink():
                yield from _find_folders(inner, depth - 1)


def _name(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path != folder else path.resolve().name


def _read_settings(folder: Path) -> dict[str, Any] | None:
    """The settings of a run; None, with a warning, for what is no run, or a damaged one."""
    try:
        settings = YamlFile(folder / CONFIG_NAME, kind="settings of a run").content
    except (OSError, ValueError) as error:
        log.warning("left out: %s", error)
        return None
    if isinstance(settings, dict) and {"data", "arch"} <= settings.keys():
        return settings
    log.warning("left out: %s does not hold the settings of a run", show_path(folder / CONFIG_NAME))
    return None


def _read_run(folder: Path, settings: Mapping[str, Any], *, name: str) -> RunSummary:
    starts = _read(folder / ORIGIN_NAME)
    origin = starts[-1] if isinstance(starts, list) and starts else {}
    scores = _read(folder / "scores" / "scores.json")
    known = {name: scores.get(name) for name in SCORES} if isinstance(scores, dict) else {}
    return RunSummary(
        name=name,
        folder=folder,
        settings=settings,
        history=_read_rows(folder / "metrics.csv"),
        scores={n: float(v) for n, v in known.items() if isinstance(v, int | float)},
        origin=origin if isinstance(origin, dict) else {},
        date=_find_date(folder, origin),
    )


def _find_date(folder: Path, origin: Any) -> datetime:
    with contextlib.suppress(TypeError, ValueError, KeyError):
        return datetime.fromisoformat(origin["date"]).astimezone()
    return datetime.fromtimestamp((folder / CONFIG_NAME).stat().st_mtime).astimezone()


def _read(path: Path) -> Any:
    """A JSON file; None where there is none, or a damaged one: a list of runs goes on without."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, ValueError, csv.Error):
        return []
