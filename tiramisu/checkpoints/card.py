"""The model card: what a model is, how it was trained and how well it did, written from its run.

Only what is known is said. Paths of the machine that trained stay out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData

from tiramisu.checkpoints.evaluations import CLASS_FIGURES, REPORTED, Judgement, read_judgements
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.run_folder import read_settings
from tiramisu.data.catalog import list_datasets, load_spec
from tiramisu.data.spec import DatasetSpec

# Where files lie and how fast they load says nothing about the model.
LOCAL_SETTINGS = ("data_root", "init_from", "resume", "out", "cache", "num_workers", "check_data")
MOST_CLASSES = 100
WEAK = 0.2


def write_card(
    info: ModelInfo,
    *,
    network: str,
    parameters: int,
    half: bool = False,
    source: Path | None = None,
    repo_id: str | None = None,
) -> str:
    """The card of a model, as the README.md that the Hub shows.

    Args:
        info: what its weights mean.
        network: the name of its network's class.
        parameters: how many it has.
        half: whether they are stored in 16 bit.
        source: the file its weights were read from; recipe and figures are taken from the run's
            folder around it, if that is one.
        repo_id: USER/NAME on the Hub, if known.
    """
    settings = read_settings(source) if source is not None else {}
    judgements = read_judgements(info, source=source, settings=settings)
    spec = _find_spec(info, settings)
    data = spec.title if spec is not None else info.dataset or "an unnamed data set"
    segments = info.task == "segmentation"
    title = f"{info.arch} trained on {info.dataset or 'an unnamed data set'}"
    parts = [
        f"---\n{_front_matter(info, judgements, title=title, data=data)}\n---",
        f"# {_escape(title)}",
        f"A network for {'semantic segmentation' if segments else 'image classification'}, trained "
        "with Tiramisu. This card was written from the run's own files.",
        _model_section(info, network=network, parameters=parameters, half=half),
        _use_section(info, repo_id=repo_id),
        _training_section(info, settings, spec=spec, data=data),
        _figures_section(info, judgements),
        _limits_section(settings, judgements, spec=spec),
        _licence_section(spec),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(info: ModelInfo, judgements: list[Judgement], *, title: str, data: str) -> str:
    """The YAML that the Hub reads."""
    segments = info.task == "segmentation"
    pipeline = "image-segmentation" if segments else "image-classification"
    results = [
        EvalResult(
            task_type=pipeline,
            dataset_type=info.dataset or "unknown",
            dataset_name=data,
            dataset_split=judgement.split,
            metric_type=REPORTED[name][1],
            metric_name=REPORTED[name][0],
            metric_value=round(value, 4),
        )
        for judgement in judgements
        if not judgement.how  # others are not comparable
        for name, value in judgement.figures.items()
    ]
    tags = ["tiramisu", "pytorch", "densenet"] if "densenet" in info.arch else ["tiramisu"]
    if info.arch.startswith("fc"):
        tags = ["tiramisu", "pytorch", "densenet", "fc-densenet"]
    if segments:
        tags.append("semantic-segmentation")
    card = ModelCardData(
        library_name="tiramisu",
        pipeline_tag=pipeline,
        tags=tags,
        model_name=title if results else None,
        eval_results=results or None,
    )
    return card.to_yaml()


def _model_section(info: ModelInfo, *, network: str, parameters: int, half: bool) -> str:
    lines = [
        f"- Network: `{info.arch}` (`{network}`), {parameters:,} parameters"
        + (f", dropout {info.dropout:g}" if info.dropout is not None else "")
        + (", stored in 16 bit (the figures below are of 32)" if half else ""),
        "- Takes: RGB images of values 0 to 255, which the model normalises itself (mean "
        f"{_numbers(info.mean)}, std {_numbers(info.std)}, after scaling to 0..1)"
        + (f"; images shrunk by {info.image_scale:g}" if info.image_scale != 1 else ""),
        f"- Gives: logits of {len(info.class_names)} classes, "
        + ("for each pixel" if info.task == "segmentation" else "for the whole image"),
    ]
    if info.image_size is not None:
        lines[1] += f"; brought to {info.image_size[0]}x{info.image_size[1]} pixels"
    if info.arch.startswith("fc"):
        lines.append("- Paper: [arXiv 1611.09326](https://arxiv.org/abs/1611.09326)")
    elif "densenet" in info.arch:
        lines.append("- Paper: [arXiv 1608.06993](https://arxiv.org/abs/1608.06993)")
    names = ", ".join(_escape(name) for name in info.class_names[:MOST_CLASSES])
    more = len(info.class_names) - MOST_CLASSES
    lines.append(
        f"- Classes, in order: {names}" + (f" and {more} more, in config.json" if more > 0 else "")
    )
    return "## Model\n\n" + "\n".join(lines)


def _use_section(info: ModelInfo, *, repo_id: str | None) -> str:
    name = f"hf://{repo_id}" if repo_id else "path/to/this/folder"
    if info.task == "segmentation":
        use = 'prediction = predict(model, "photo.jpg")\nprediction.mask  # (H, W) uint8, classes'
        imports = "load_model, predict"
    else:
        use = 'classify(model, "photo.jpg").top(5)  # the likeliest classes with probabilities'
        imports = "classify, load_model"
    return (
        "## Use\n\nIn an environment where Tiramisu is installed (`pip install -e .` in a clone of "
        "its repository):\n\n```python\n"
        f'from tiramisu import {imports}\n\nmodel = load_model("{name}")\n{use}\n'
        "model.info.class_names\n```"
    )


def _training_section(
    info: ModelInfo, settings: dict[str, Any], *, spec: DatasetSpec | None, data: str
) -> str:
    lines = [
        f"Data set: {_escape(data)}"
        + (f" ({spec.source.homepage})" if spec and spec.source else "")
    ]
    if spec is None:
        lines[0] += " (its author's own; nothing more is known about it here)"
    lines[0] += "."
    if not settings:
        lines.append("The settings of the run were not at hand when this card was written.")
        return "## Training\n\n" + "\n\n".join(lines)
    if settings.get("init_from"):
        lines.append(
            "It started from the weights of another model, "
            f"`{Path(str(settings['init_from'])).name}` on its author's machine."
        )
    tool = "train_seg.py" if info.task == "segmentation" else "train_cls.py"
    recipe = {name: value for name, value in settings.items() if name not in LOCAL_SETTINGS}
    recipe["data"] = info.dataset
    lines += [
        f"The command was `python tools/{tool} --config FILE`, FILE holding these settings:",
        f"```yaml\n{yaml.safe_dump(recipe, sort_keys=False, default_flow_style=None)}```",
    ]
    return "## Training\n\n" + "\n\n".join(lines)


def _figures_section(info: ModelInfo, judgements: list[Judgement]) -> str:
    if not judgements:
        return "## Figures\n\nNone were at hand when this card was written."
    names = [name for name in REPORTED if any(name in j.figures for j in judgements)]
    tool = "eval_seg.py" if info.task == "segmentation" else "eval_cls.py"
    lines = [
        f"In percent, over a whole split, as `python tools/{tool} --checkpoint ... --data "
        f"{info.dataset} --split ...` measures them.",
        "",
        "| split | images | " + " | ".join(REPORTED[name][0] for name in names) + " | how |",
        "|---" * (len(names) + 3) + "|",
    ]
    for judgement in judgements:
        cells = [_percent(judgement.figures.get(name)) for name in names]
        images = "" if judgement.images is None else str(judgement.images)
        row = (judgement.split, images, *cells, judgement.how)
        lines.append("| " + " | ".join(_escape(cell) for cell in row) + " |")
    first = judgements[0]
    if first.class_figures and len(info.class_names) <= MOST_CLASSES:
        lines += [
            "",
            f"Class by class on {_escape(first.split)}:",
            "",
            "| class | " + " | ".join(CLASS_FIGURES[name] for name in first.class_figures) + " |",
            "|---" * (len(first.class_figures) + 1) + "|",
        ]
        for class_name in info.class_names:
            cells = [_percent(values[class_name]) for values in first.class_figures.values()]
            lines.append(f"| {_escape(class_name)} | " + " | ".join(cells) + " |")
    return "## Figures\n\n" + "\n".join(lines)


def _limits_section(
    settings: dict[str, Any], judgements: list[Judgement], *, spec: DatasetSpec | None
) -> str:
    lines = []
    if spec is not None and spec.drawn:
        lines.append("Trained on drawings, made by a program: expect little of it on photographs.")
    if not judgements:
        lines.append("How good it is was not measured, or not handed on.")
    else:
        judged_on = {judgement.split for judgement in judgements}
        if judged_on == {settings.get("val_split", "val")}:
            lines.append(
                "Judged on its validation split alone, which also chose the epoch that was kept: "
                "the figures flatter it."
                if settings.get("keep") == "best"
                else "Judged on its validation split alone."
            )
        weak = [
            name
            for name, value in _main_class_figure(judgements[0]).items()
            if value is not None and value < WEAK
        ]
        if weak:
            lines.append(
                f"It finds these classes badly (below {100 * WEAK:.0f} %): "
                f"{', '.join(_escape(name) for name in weak)}."
            )
    lines.append(
        "It knows the classes above and gives every input one of them, images of other places, "
        "cameras and times of day too. Nothing but the figures above was tested: not its "
        "robustness, not its fairness to people in the images. Rely on it for nobody's safety."
    )
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _main_class_figure(judgement: Judgement) -> Mapping[str, float | None]:
    for name in ("iou", "recall"):
        if name in judgement.class_figures:
            return judgement.class_figures[name]
    return {}


def _licence_section(spec: DatasetSpec | None) -> str:
    data = "unknown here: ask the data set's author"
    if spec is not None:
        data = spec.source.licence if spec.source else "none needed, it is drawn by Tiramisu itself"
    return (
        "## Licence\n\nTiramisu's code: MIT. The data: "
        f"{_escape(data).rstrip('.')}. These weights: whoever publishes them says so here, and by "
        "`license:` at the top of this file; until then none is granted."
    )


def _find_spec(info: ModelInfo, settings: dict[str, Any]) -> DatasetSpec | None:
    """The shipped data set that a model was trained on; None for one of the user's own."""
    if info.dataset not in list_datasets() or settings.get("data", info.dataset) != info.dataset:
        return None
    spec = load_spec(info.dataset)
    return spec if spec.class_names == info.class_names else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _escape(text: str) -> str:
    """Text that Markdown shows as it is, in a table too."""
    for sign in "\\|`*_[]<>#":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
