"""What a training returns."""

import dataclasses
import functools
import html
import math
from pathlib import Path

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.model import ImageModel
from tiramisu.evaluation.score_page import draw_curves
from tiramisu.evaluation.scores import FIGURES, Figure, Scores
from tiramisu.models.own_network import NetworkBuilder
from tiramisu.training.history import Row
from tiramisu.visual.page import figure_image


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class TrainingRun:
    """A completed training run."""

    folder: Path
    """Folder with the published model and everything else the run has written."""
    task: str
    """"segmentation" or "classification"."""
    history: list[Row]
    """One row per epoch, as in metrics.csv: epoch, step, lr, train_loss, val_loss (cross-entropy),
    the scores on the validation split in percent (val_miou and val_accuracy, or val_top1 and
    val_top5, and that of --monitor; NaN in epochs without validation), images_per_second,
    seconds."""
    scores: Scores | None
    """Scores of the published model on the validation split. If several processes train, only the
    main one has them; None in the others."""
    network: NetworkBuilder | None = None
    """What has built the network, if it is one's own."""

    @functools.cached_property
    def model(self) -> ImageModel:
        """The published model, on the CPU in evaluation mode; loaded when it is first used."""
        return load_model(self.folder, network=self.network)

    def __repr__(self) -> str:
        epochs = len(self.history)
        parts = [f"{epochs} epoch{'s' * (epochs != 1)}"]
        if self.scores is not None:
            percent = score_percentages(self.scores, task=self.task)
            parts += [f"{figure.name} {value:.1f} %" for figure, value in percent.items()]
        return f"<TrainingRun {self.folder}: {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        """Table of scores and curves, as a notebook shows them."""
        scores = {} if self.scores is None else score_percentages(self.scores, task=self.task)
        rows = "".join(
            f"<tr><th>{html.escape(figure.name)}</th><td>{value:.1f} %</td></tr>"
            for figure, value in scores.items()
        )
        curves = map(figure_image, draw_curves(self.history, task=self.task))
        text = html.escape(repr(self))
        return f"<p>{text}</p><table>{rows}</table><div>{''.join(curves)}</div>"


def score_percentages(scores: Scores, *, task: str) -> dict[Figure, float]:
    """The scores that a run follows, in percent, without those that are NaN."""
    percent = {figure: figure.read(scores) for figure in FIGURES[task]}
    return {figure: value for figure, value in percent.items() if not math.isnan(value)}
