"""How well a model did, as the files of its run tell it."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiramisu.checkpoints.info import ModelInfo

# As in scores.json and ModelInfo.metrics: the name for people, and the Hub's.
REPORTED = {
    "mean_iou": ("mean IoU", "mean_iou"),
    "pixel_accuracy": ("pixel accuracy", "accuracy"),
    "top1": ("top-1 accuracy", "accuracy"),
    "top5": ("top-5 accuracy", "accuracy"),
    "mean_accuracy": ("class accuracy", "accuracy"),
}
CLASS_FIGURES = {"iou": "IoU", "precision": "precision", "recall": "recall"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judgement:
    """One evaluation of the model; all figures are shares from 0 to 1."""

    split: str
    how: str
    """What makes it differ from the plain way; empty for that."""
    images: int | None
    figures: Mapping[str, float]
    """By the keys of REPORTED."""
    class_figures: Mapping[str, Mapping[str, float | None]]
    """By the keys of CLASS_FIGURES, then by class."""

    def equals(self, other: "Judgement") -> bool:
        """Whether it says the same, but for what another number of threads rounds otherwise."""
        return (
            (self.split, self.how, self.images) == (other.split, other.how, other.images)
            and self.figures.keys() == other.figures.keys()
            and all(
                math.isclose(v, other.figures[n], abs_tol=5e-4) for n, v in self.figures.items()
            )
        )


def read_judgements(
    info: ModelInfo, *, source: Path | None, settings: Mapping[str, Any]
) -> list[Judgement]:
    """The evaluations of a published model that its run's folder holds, the run's own first.

    Without any, what the model says of itself.

    Args:
        info: the model's.
        source: the file its weights were read from, if any.
        settings: those of its run; may be empty.
    """
    names = (settings.get("data"), info.dataset)
    found: list[Judgement] = []
    # The files beside a checkpoint of some epoch are about the published one.
    if source is not None and source.suffix == ".safetensors":
        folder = source.parent
        later = [
            path
            for path in sorted(folder.glob("eval/*/scores.json"))
            if path.stat().st_mtime >= source.stat().st_mtime  # not of weights since replaced
        ]
        for path in (folder / "scores" / "scores.json", *later):
            judgement = _read_judgement(info, path, data_names=names)
            if judgement is not None and not any(judgement.equals(other) for other in found):
                found.append(judgement)
    if not found and info.metrics:
        figures = {name: value / 100 for name, value in info.metrics.items() if name in REPORTED}
        found = [Judgement(split="val", how="", images=None, figures=figures, class_figures={})]
    return found


def _read_judgement(
    info: ModelInfo, path: Path, *, data_names: tuple[str | None, ...]
) -> Judgement | None:
    """One scores.json; None if there is none, or if it is about another model."""
    if not path.is_file():
        return None
    try:
        scores = json.loads(path.read_text())
    except ValueError:
        raise ValueError(
            f"{path} is damaged, not readable as JSON: evaluate anew with --overwrite, or remove it"
        ) from None
    class_figures = {
        name: scores[name] for name in CLASS_FIGURES if isinstance(scores.get(name), dict)
    }
    ours = all(tuple(values) == info.class_names for values in class_figures.values())
    exported = Path(str(scores.get("checkpoint", ""))).suffix in (".onnx", ".xml", ".pt2")
    if scores.get("arch") != info.arch or not ours or exported:
        return None
    how = [f"batch norm {scores['bn']}"] if scores.get("bn", "running") != "running" else []
    if scores.get("tta"):
        how.append("test-time augmentation")
    if scores.get("mc_dropout"):
        how.append(f"mean of {scores['mc_dropout']} passes with dropout")
    if "data" in scores and scores["data"] not in data_names:
        how.append(f"on {Path(scores['data']).stem}")
    return Judgement(
        split=str(scores.get("split", "")),
        how=", ".join(how),
        images=scores.get("images"),
        figures={n: scores[n] for n in REPORTED if isinstance(scores.get(n), int | float)},
        class_figures=class_figures,
    )
