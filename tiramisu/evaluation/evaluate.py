"""Evaluating a trained model on a whole split; `evaluate_checkpoint` is the whole command."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tiramisu.atomic import make_folder
from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.model import ImageModel
from tiramisu.checkpoints.model_files import (
    CHECKPOINT_SUFFIXES,
    find_model_file,
    find_results_folder,
    list_members,
)
from tiramisu.checkpoints.trained_on import find_data
from tiramisu.data.dataset import ImageDataset, open_split
from tiramisu.data.loader import make_loader
from tiramisu.data.spec import DatasetSpec
from tiramisu.devices import describe_origin, is_out_of_memory, pick_device
from tiramisu.evaluation.batch_norm import recalibrate_batch_norm, use_batch_statistics
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.error_analysis import ErrorMeter, Shares
from tiramisu.evaluation.gallery import Gallery
from tiramisu.evaluation.metrics import (
    ClassificationScores,
    ClassifiedImage,
    Meter,
    Scores,
    SegmentationScores,
    count_pixels,
    list_classified,
    score_images,
)
from tiramisu.evaluation.report import JSON_NAME, format_scores, save_scores
from tiramisu.evaluation.score_page import REPORT_NAME, write_score_page
from tiramisu.evaluation.uncertainty_grid import save_uncertainty
from tiramisu.inference.averaging import as_logits, augmented_logits, random_dropout, run_passes
from tiramisu.inference.predictor import Predictor, check_finite
from tiramisu.inference.tester import PixelTester, as_tile
from tiramisu.inference.tiles import DEFAULT_TILE, Tile
from tiramisu.inference.whole_images import check_batch
from tiramisu.own_parts import as_list, find_part_by_name
from tiramisu.progress import track
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
) -> Scores:
    """Evaluate a trained model; print the scores and write them as a table, JSON and a page.

    Args:
        config: what to evaluate, and how.
        model: the model that `config.checkpoint` names, if it is loaded already. Exported models
            must be given here.
        metrics: of one's own, as objects, beside those that `config.metrics` names.
        history: the rows of the training's metrics.csv, for the page.
        report: the file of the page; None for report.html beside the table.

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
        origin=describe_origin(model.device),
    )
    print(f"{report} shows the images, the worst first")
    return scores


def evaluate(
    model: Predictor,
    dataset: ImageDataset,
    *,
    batch_size: int = 1,
    tile: Tile = "auto",
    tta: bool = False,
    mc_dropout: int = 0,
    limit: int | None = None,
    metrics: Sequence[Any] = (),
    gallery: Gallery | None = None,
) -> Scores:
    """Evaluate a model on a data set, at the size of its labels.

    Args:
        model: a trained model. Its batch norm is used as it is; see `recalibrate_batch_norm` and
            `use_batch_statistics`.
        dataset: one split of a data set.
        batch_size: images in a batch.
        tile: side of the tiles in which larger images are predicted, as in `predict`; None predicts
            every image whole.
        tta: average over scaled and mirrored copies of each image.
        mc_dropout: number of passes with random dropout to average over; 0 takes one pass without.
        limit: number of images to use, spread evenly over the data set; None for all.
        metrics: of one's own; see `OwnMetrics`.
        gallery: what keeps the predictions of a segmentation for a report.

    Raises:
        ValueError: `mc_dropout` for a model without dropout, or together with `tta`.
    """
    if tta and mc_dropout:
        raise ValueError("tta and mc_dropout are two ways to average; give one of them")
    spec = dataset.spec
    meter = Meter(spec.task, spec.num_classes, ignore_index=spec.ignore_index, own=metrics)
    meter.to(model.device)
    indices = pick_evenly(len(dataset), limit)
    names = [dataset.names[index] for index in indices]
    loader = make_loader(
        dataset, batch_size=batch_size, shuffle=False, num_workers=0, seed=0, indices=indices
    )
    dropout = random_dropout(model) if mc_dropout else nullcontext()
    tester = PixelTester(model, tile=tile, tta=tta, passes=mc_dropout)
    count_of = functools.partial(
        count_pixels, num_classes=spec.num_classes, ignore_index=spec.ignore_index
    )
    errors = ErrorMeter(num_classes=spec.num_classes, ignore_index=spec.ignore_index)
    counts: list[Tensor] = []
    boundary_iou: list[Shares] = []
    classified: list[ClassifiedImage] = []
    finite = torch.ones((), dtype=torch.bool, device=model.device)
    with torch.inference_mode(), dropout:
        for batch in track(loader, doing="evaluating", unit="batches", total=len(loader)):
            images = batch["image"].to(model.device)  # (B, C, H, W)
            labels = batch["label"].to(model.device)  # (B, H, W), or (B,)
            # Collected on the device: to look at it after each batch is to wait for a GPU.
            if spec.task == "segmentation":
                size = (labels.shape[1], labels.shape[2])
                tested = tester.test(images, size=size, labels=labels)
                finite &= tested.is_finite
                meter.update(
                    tested.classes,
                    tested.confidence,
                    labels,
                    log_likelihood=tested.log_likelihood,
                )
                counts.append(count_of(tested.classes, labels))
                for prediction, label in zip(
                    *map(_to_array, (tested.classes, labels)), strict=True
                ):
                    if gallery is not None:
                        gallery.add(indices[len(boundary_iou)], prediction)
                    boundary_iou.append(errors.update(prediction, label))
            else:
                logits = _classify(model, images, tta=tta, mc_dropout=mc_dropout)
                finite &= logits.isfinite().all()
                meter.update_logits(logits, labels)
                first = len(classified)
                classified += list_classified(names[first : first + len(labels)], logits, labels)
    check_finite(model, finite)
    scores = meter.compute()
    if isinstance(scores, ClassificationScores):
        return dataclasses.replace(scores, images=tuple(classified))
    if isinstance(scores, SegmentationScores):
        images = score_images(names, torch.cat(counts), boundary_iou)
        return dataclasses.replace(scores, images=images, errors=errors.compute())
    return scores


def pick_evenly(number: int, limit: int | None) -> list[int]:
    """The indices of `limit` of so many samples at even distances; of all with None."""
    limit = min(limit or number, number)
    return [i * number // limit for i in range(limit)]


def _to_array(classes: Tensor) -> npt.NDArray[np.uint8]:
    return np.asarray(classes.to(torch.uint8).cpu())


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


def _classify(model: Predictor, images: Tensor, *, tta: bool, mc_dropout: int) -> Tensor:
    """Logits (B, C) of whole images."""
    if tta:
        return augmented_logits(model, images, size=())
    if mc_dropout:
        return as_logits(run_passes(model, images, size=None, passes=mc_dropout).mean)
    return model(images)


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
