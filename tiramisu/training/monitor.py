"""The score on the validation split that decides which epoch is the best."""

from tiramisu.data.spec import DatasetSpec
from tiramisu.evaluation.scores import FIGURES, LOSS, Figure
from tiramisu.settings import explain
from tiramisu.text import did_you_mean, list_some

_WHOLE = {
    "segmentation": {
        "mean_iou": FIGURES["segmentation"][0],
        "accuracy": FIGURES["segmentation"][1],
        "mean_dice": Figure(key="mean_dice", name="mean Dice", attribute="mean_dice"),
        "loss": LOSS,
    },
    "classification": {
        "top1": FIGURES["classification"][0],
        "top5": FIGURES["classification"][1],
        "loss": LOSS,
    },
}
"""The scores of a whole split, by their names in `--monitor`."""
_OF_CLASS = {
    "segmentation": {"iou": "IoU", "dice": "Dice", "precision": "precision", "recall": "recall"},
    "classification": {"precision": "precision", "recall": "recall"},
}
"""The scores of one class: the attribute of `Scores`, and the name for people."""
_SHOWN = 10


def find_monitor(name: str, spec: DatasetSpec) -> Figure:
    """The score of a name such as mean_iou, loss or iou/crack.

    Raises:
        ValueError: there is no such score, or no such class.
    """
    whole, of_class = _WHOLE[spec.task], _OF_CLASS[spec.task]
    if name in whole:
        return whole[name]
    kind, _, class_name = name.partition("/")
    if kind in of_class and class_name in spec.class_names:
        index = spec.class_names.index(class_name)
        shown = f"{of_class[kind]} of {class_name}"
        return Figure(key=name, name=shown, attribute=kind, class_index=index)
    if kind in of_class:
        known = [f"{kind}/{known}" for known in spec.class_names]
        expected = f"{kind}/ and a class of {spec.name}: {list_some(spec.class_names, most=_SHOWN)}"
    else:
        known = [*whole, *(f"{kind}/{known}" for kind in of_class for known in spec.class_names)]
        *first, last = (f"{kind}/" for kind in of_class)
        kinds = f"{', '.join(first)} or {last}"
        expected = f"{', '.join(whole)}, or {kinds} and a class, such as {known[len(whole)]}"
    raise ValueError(explain("monitor", name, expected) + did_you_mean(name, known))


def list_figures(task: str, monitor: Figure | None = None) -> tuple[Figure, ...]:
    """The scores that a run measures after each epoch: those of its task, and its monitor."""
    figures = (LOSS, *FIGURES[task])
    if monitor is None or monitor in figures:
        return figures
    return (*figures, monitor)
