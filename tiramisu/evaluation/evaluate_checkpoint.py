"""Evaluating the model of a run on a split: the whole command, from settings to files."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tiramisu.atomic import make_folder
from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.model import ImageModel
from tiramisu.checkpoints.model_files import (
    CHECKPOINT_SUFFIXES,
    find_model_file,
    find_results_folder,
    list_members,
)
from tiramisu.checkpoints.run_folder import read_settings
from tiramisu.checkpoints.trained_on import find_data
from tiramisu.data.dataset import ImageDataset, open_split
from tiramisu.data.spec import DatasetSpec
from tiramisu.devices import describe_origin, is_out_of_memory, pick_device
from tiramisu.evaluation.batch_norm import recalibrate_batch_norm, use_batch_statistics
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate import evaluate, pick_evenly
from tiramisu.evaluation.gallery import Gallery
from tiramisu.evaluation.score_files import JSON_NAME, format_scores, save_scores
from tiramisu.evaluation.score_page import REPORT_NAME, write_score_page
from tiramisu.evaluation.scores import (
    Scores,
)
from tiramisu.evaluation.tally import CountImages, count_images
from tiramisu.evaluation.uncertainty_grid import save_uncertainty
from tiramisu.inference.predictor import Predictor
from tiramisu.inference.tester import as_tile
from tiramisu.inference.tiles import DEFAULT_TILE, Tile
from tiramisu.inference.whole_images import check_batch
from tiramisu.own_parts import as_list, find_part_by_name
from tiramisu.shipped import WEIGHTS

UNCERTAINTY_NAME = "uncertainty.png"
PAPER_BATCH = 10
"""Consecutive frames in a batch when the paper's authors evaluated with batch statistics."""


def evaluate_checkpoint(
    config: EvalConfig,
    *,
    model: Predictor | None = None,
    metrics: Sequence[Any] = (),
    history: Sequence[Mapping[str, object]] = (),
    report: Path | None = None,
    count: CountImages = count_images,
) -> Scores:
    """Evaluate a trained model; print the scores and write them as a table, JSON and a page.

    Args:
        config: what to evaluate, and how.
        model: the model that `config.checkpoint` names, if it is loaded already. Exported models
            must be given here.
        metrics: of one's own, as objects, beside those that `config.metrics` names.
        history: the rows of the training's metrics.csv, for the page.
        report: the file of the page; None for report.html beside the table.
        count: predicts and counts the images; by default this process does.

    Raises:
        ValueError: model, data and settings do not fit together, or there are results already.
        FileNotFoundError: there is no such checkpoint.
    """
    named = [find_part_by_name(name, flag="--metrics") for name in as_list(config.metrics)]
    metrics = [*named, *metrics]
    if model is None:
        model = load_model(config.checkpoint, device=pick_device(config.accelerator))
    info = model.info
    data, spec, root = find_data(
        info,
        checkpoint=config.checkpoint,
        data=config.data,
        data_root=config.data_root,
        options=config,
    )
    batch_size = config.batch_size or (PAPER_BATCH if config.bn == "batch" else 1)
    out = _choose_folder(config, spec, batch_size=batch_size)
    open_images = functools.partial(
        open_split,
        spec,
        root=root,
        image_scale=info.image_scale,
        image_size=info.seen_size,
        format=info.image_format,
    )
    dataset = open_images(config.split)
    if config.bn != "running" and not isinstance(model, ImageModel):
        raise ValueError(
            f"--bn {config.bn}: {config.checkpoint} is an exported model or an ensemble: its "
            "batch norm cannot be changed; give a single run's folder, or --bn running"
        )
    tile = as_tile(config.tile)
    if isinstance(model, ImageModel) and config.bn == "batch" and spec.task == "segmentation":
        _check_whole_batches(model, dataset, config, batch_size=batch_size)
        tile = None
    make_folder(out)
    if isinstance(model, ImageModel) and config.bn == "batch":
        model = use_batch_statistics(model)
    elif isinstance(model, ImageModel) and config.bn == "recalibrated":
        with _explained_memory(tile=tile, bn=config.bn):
            model = recalibrate_batch_norm(model, open_images(config.train_split), tile=tile)
    gallery = Gallery(dataset, value_range=info.value_range)
    with _explained_memory(tile=tile, bn=config.bn):
        scores = evaluate(
            model,
            dataset,
            batch_size=batch_size,
            tile=tile,
            tta=config.tta,
            mc_dropout=config.mc_dropout,
            limit=config.limit,
            metrics=metrics,
            gallery=gallery,
            count=count,
        )
    indices = pick_evenly(len(dataset), config.limit)

    table = format_scores(scores, spec, arch=info.arch)
    settings = {
        "checkpoint": config.checkpoint,
        "arch": info.arch,
        "data": data,
        "split": config.split,
        "images": len(indices),
        "bn": config.bn,
        "batch_size": batch_size,
        "tile": "off" if tile is None else tile,
        "tta": config.tta,
        "mc_dropout": config.mc_dropout,
        "image_scale": info.image_scale,
        "image_size": info.seen_size,
    }
    if config.mc_dropout and dataset.spec.task == "segmentation":
        file, passes = out / UNCERTAINTY_NAME, config.mc_dropout
        with _explained_memory(tile=tile, bn=config.bn):
            save_uncertainty(model, dataset, file, passes=passes, tile=tile)
    statistics = f"{config.bn} statistics in batch norm"
    statistics += f" (batches of {batch_size})" if config.bn == "batch" else ""
    how = [f"{len(indices)} image{'s' * (len(indices) != 1)}", statistics]
    members = len(list_members(config.checkpoint))
    how += [f"mean of {members} models"] if members > 1 else []
    how += ["test-time augmentation"] if config.tta else []
    how += [f"mean of {config.mc_dropout} passes with dropout"] if config.mc_dropout else []
    title = f"{info.arch} on {spec.name} {config.split}"
    save_scores(scores, spec, out, title=title, table=table, settings=settings)
    print(f"\n{title}: {', '.join(how)} (in %)\n\n{table}\n\nwritten to {out}", flush=True)
    report = report or out / REPORT_NAME
    write_score_page(
        report,
        title=title,
        how=how,
        scores=scores,
        spec=spec,
        arch=info.arch,
        images=gallery.show(scores, indices),
        num_images=len(indices),
        has_void=gallery.has_void,
        history=history,
        settings=settings,
        training=read_settings(find_model_file(list_members(config.checkpoint)[0])),
        origin=describe_origin(model.device),
    )
    print(f"{report} shows the images, the worst first")
    return scores


@contextmanager
def _explained_memory(*, tile: Tile, bn: str) -> Iterator[None]:
    """Turn the error of memory that ran out into one that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        smaller = "a smaller --batch-size"
        if bn == "batch":
            smaller += ", or --bn recalibrated, which works in tiles"
        elif tile is None:
            smaller += ", or --tile auto in place of off"
        raise ValueError(f"out of memory in the evaluation; give {smaller}") from None


def _check_whole_batches(
    model: ImageModel, dataset: ImageDataset, config: EvalConfig, *, batch_size: int
) -> None:
    """Say that --bn batch predicts large images whole.

    Raises:
        ValueError: such a batch cannot fit into memory.
    """
    height, width = dataset.read_scaled(0)[0].shape[:2]
    tile = as_tile(config.tile)
    side = DEFAULT_TILE if tile == "auto" else tile
    if side is None or max(height, width) <= side:
        return
    whole = f"--bn batch, which predicts whole batches without tiles: {batch_size} images of "
    whole += f"{height}x{width} pixels"
    check_batch(
        model.network,
        size=(height, width),
        batch=min(batch_size, len(dataset)),
        precision="fp32",
        device=model.device,
        flags=whole,
        remedy=lambda _: "give --bn recalibrated, or a smaller --batch-size",
    )
    print(f"Note: {whole}")


def _choose_folder(config: EvalConfig, spec: DatasetSpec, *, batch_size: int) -> Path:
    """The folder for the results. Raises ValueError if it holds others that must be kept."""
    statistics = f"batch{batch_size}" if config.bn == "batch" else config.bn
    name = f"{spec.name}_{config.split}_{statistics}" + ("_tta" if config.tta else "")
    name += f"_mc{config.mc_dropout}" if config.mc_dropout else ""
    name += f"_limit{config.limit}" if config.limit else ""
    members = list_members(config.checkpoint)
    file = find_model_file(members[0])
    if len(members) > 1:
        name += f"_ensemble{len(members)}"
    elif file.suffix not in CHECKPOINT_SUFFIXES:
        # An exported model often lies in the folder of its run.
        name += f"_{file.name.replace('.', '_')}"
    if len(members) == 1 and file.resolve().is_relative_to(WEIGHTS):
        # The results of all shipped models go to the same folder.
        name = f"{file.parent.name}_{name}"
    out = Path(config.out or find_results_folder(config.checkpoint) / "eval" / name)
    if (out / JSON_NAME).exists() and not config.overwrite:
        raise ValueError(
            f"{out} already holds an evaluation; replace it by --overwrite, or choose another "
            "folder by --out"
        )
    return out
