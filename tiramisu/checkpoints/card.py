"""The model card: what a model is, how it was trained and how good it is.

This file gathers the facts from the files of the run; `card_template.md` holds the words. Paths of
the machine that trained are left out.
"""

from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from tiramisu.checkpoints.evaluations import CLASS_SCORES, SCORES, Evaluation, read_evaluations
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.run_folder import read_settings
from tiramisu.data.catalog import list_datasets, load_spec
from tiramisu.data.image_format import RGB, describe_bands
from tiramisu.data.scaling import RGB_SCALING, Scaling, describe_scaling
from tiramisu.data.spec import DatasetSpec
from tiramisu.text import list_some

TEMPLATE = Path(__file__).with_name("card_template.md")
# Paths, and settings that only change how fast files are read, say nothing about the model.
LOCAL_SETTINGS = ("data_root", "init_from", "resume", "out", "cache", "num_workers", "check_data")
MOST_CLASSES = 100
"""Most classes that the card names; with more classes it has no scores of each class either."""
WEAK_SCORE = 0.2
"""A class whose IoU (for classifiers, recall) is lower is named in the limits."""
PAPERS = {"fc-densenet": "1611.09326", "densenet": "1608.06993"}
"""arXiv numbers of the networks' papers."""


def make_card(
    info: ModelInfo,
    *,
    network: str,
    num_parameters: int,
    half: bool = False,
    source: Path | None = None,
    repo_id: str | None = None,
) -> ModelCard:
    """Make the model card that the Hub shows.

    Args:
        info: what the weights mean.
        network: name of the network's class.
        num_parameters: number of its parameters.
        half: whether weights are stored in fp16.
        source: the file the weights were read from. Settings and scores are read from the folder
            around it, if that is the folder of a run.
        repo_id: USER/NAME on the Hub, if known.

    Raises:
        ValueError: a scores.json in the folder is damaged.
    """
    settings = read_settings(source) if source is not None else {}
    evaluations = read_evaluations(info, source=source, settings=settings)
    spec = _find_spec(info, settings)
    families = _list_families(info.arch)
    dataset = info.dataset or "an unnamed data set"
    data_title = spec.title if spec is not None else dataset
    title = f"{info.arch} trained on {dataset}"
    class_scores = evaluations[0].class_scores if evaluations else {}
    measure = "iou" if "iou" in class_scores else "recall"
    weak = [
        _escape(name)
        for name, score in class_scores.get(measure, {}).items()
        if score is not None and score < WEAK_SCORE
    ]
    recipe = {name: value for name, value in settings.items() if name not in LOCAL_SETTINGS}
    card: ModelCard = ModelCard.from_template(
        _make_front_matter(info, evaluations, title=title, data_title=data_title),
        template_path=str(TEMPLATE),
        # Functions and tables that the template uses.
        escape=_escape,
        percent=_percent,
        SCORES=SCORES,
        CLASS_SCORES=CLASS_SCORES,
        # The model.
        info=info,
        images=_describe_images(info),
        segmentation=info.task == "segmentation",
        title=title,
        network=network,
        num_parameters=num_parameters,
        half=half,
        paper=PAPERS[families[-1]] if families else None,
        classes=list_some([_escape(name) for name in info.class_names], most=MOST_CLASSES),
        has_many_classes=len(info.class_names) > MOST_CLASSES,
        load_name=f"hf://{repo_id}" if repo_id else "path/to/this/folder",
        # The training.
        spec=spec,
        data_title=data_title,
        init_from=Path(str(settings.get("init_from") or "")).name,
        recipe=_format_settings({**recipe, "data": info.dataset}) if settings else "",
        licence=_describe_licence(spec).rstrip("."),
        # The scores.
        evaluations=evaluations,
        score_names=[name for name in SCORES if any(name in e.scores for e in evaluations)],
        class_scores=class_scores if len(info.class_names) <= MOST_CLASSES else {},
        only_validation={e.split for e in evaluations} == {settings.get("val_split", "val")},
        chose_epoch=settings.get("keep") == "best",
        weak_classes=", ".join(weak),
        weak_score=CLASS_SCORES[measure],
        weak_percent=round(100 * WEAK_SCORE),
    )
    return card


def _describe_images(info: ModelInfo) -> str:
    scaling = Scaling(value_range=info.value_range)
    if info.image_format == RGB and scaling == RGB_SCALING:
        return "RGB images with values from 0 to 255"
    bands = describe_bands(info.image_format)
    return (
        f"images with bands {bands} of the type {info.pixel_type}, with the values of their files "
        f"({describe_scaling(scaling)})"
    )


def _make_front_matter(
    info: ModelInfo, evaluations: list[Evaluation], *, title: str, data_title: str
) -> ModelCardData:
    """The YAML at the top of the card, which the Hub reads."""
    segmentation = info.task == "segmentation"
    pipeline = "image-segmentation" if segmentation else "image-classification"
    results = [
        EvalResult(
            task_type=pipeline,
            dataset_type=info.dataset or "unknown",
            dataset_name=data_title,
            dataset_split=evaluation.split,
            metric_type=SCORES[name][1],
            metric_name=SCORES[name][0],
            metric_value=round(score, 4),
        )
        for evaluation in evaluations
        if not evaluation.how  # others cannot be compared with those of other models
        for name, score in evaluation.scores.items()
    ]
    tags = ["tiramisu", "pytorch", *_list_families(info.arch)]
    if segmentation:
        tags.append("semantic-segmentation")
    return ModelCardData(
        library_name="tiramisu",
        pipeline_tag=pipeline,
        tags=tags,
        model_name=title if results else None,
        eval_results=results or None,
    )


def _list_families(arch: str) -> list[str]:
    """The families of networks that an architecture belongs to, the narrowest last."""
    if arch.startswith("fc") and ":" not in arch:
        return ["densenet", "fc-densenet"]
    return ["densenet"] if "densenet" in arch else []


def _find_spec(info: ModelInfo, settings: dict[str, Any]) -> DatasetSpec | None:
    """The data set of the package that a model was trained on; None for one of the user."""
    if info.dataset not in list_datasets() or settings.get("data", info.dataset) != info.dataset:
        return None
    spec = load_spec(info.dataset)
    return spec if spec.class_names == info.class_names else None


def _describe_licence(spec: DatasetSpec | None) -> str:
    """The licence of the data set."""
    if spec is None:
        return "licence unknown, ask the author of the data set"
    return (
        spec.source.licence
        if spec.source
        else "no licence is needed, Tiramisu makes the images itself"
    )


def _format_settings(settings: dict[str, Any]) -> str:
    return yaml.safe_dump(settings, sort_keys=False, default_flow_style=None)


def _percent(score: float | None) -> str:
    return "-" if score is None else f"{100 * score:.1f}"


def _escape(text: str) -> str:
    """Text that Markdown shows as it is, also in a table."""
    for sign in "\\|`*_[]<>#":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
