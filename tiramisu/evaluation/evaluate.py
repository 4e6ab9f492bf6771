"""Judging a trained model on a whole split; `evaluate_checkpoint` is the whole command."""

from contextlib import nullcontext
from pathlib import Path

import torch
from torch.utils.data import Subset
from tqdm import tqdm

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.model import ImageModel
from tiramisu.checkpoints.model_files import (
    CHECKPOINT_SUFFIXES,
    find_model_file,
    find_results_folder,
)
from tiramisu.checkpoints.trained_on import find_data
from tiramisu.data.dataset import ImageDataset, SegmentationDataset, open_split
from tiramisu.data.loader import make_loader
from tiramisu.data.spec import DatasetSpec
from tiramisu.devices import pick_device
from tiramisu.evaluation.batch_norm import recalibrate_batch_norm, use_batch_statistics
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.metrics import Meter, Scores
from tiramisu.evaluation.report import JSON_NAME, format_scores, save_scores
from tiramisu.evaluation.uncertainty_grid import save_uncertainty
from tiramisu.inference.averaging import as_logits, augmented_logits, draw, random_dropout
from tiramisu.inference.predictor import Predictor, logits_for
from tiramisu.shipped import WEIGHTS

UNCERTAINTY_NAME = "uncertainty.png"
# Consecutive frames whose common statistics the paper's authors used at test time.
PAPER_BATCH = 10


def evaluate_checkpoint(config: EvalConfig, *, model: Predictor | None = None) -> Scores:
    """Evaluate a trained model; prints the table and writes it with a JSON and a picture.

    Args:
        config: what to evaluate, and how.
        model: what `config.checkpoint` names, if it is loaded already; an exported model has to be.

    Raises:
        ValueError, FileNotFoundError: something the user can mend; the message says how.
    """
    if model is None:
        model = load_model(config.checkpoint, device=pick_device(config.accelerator))
    info = model.info
    data, spec, root = find_data(
        info, checkpoint=config.checkpoint, data=config.data, data_root=config.data_root
    )
    batch_size = config.batch_size or (PAPER_BATCH if config.bn == "batch" else 1)
    out = _output_folder(config, spec, batch_size=batch_size)
    dataset = open_split(spec, config.split, root=root, image_scale=info.image_scale)
    if config.bn != "running":
        if not isinstance(model, ImageModel):
            raise ValueError(
                f"--bn {config.bn}: the statistics in {config.checkpoint} are fixed, it is an "
                "exported model; give the run's folder, or --bn running"
            )
        if config.bn == "batch":
            model = use_batch_statistics(model)
        else:
            measured_on = open_split(
                spec, config.train_split, root=root, image_scale=info.image_scale
            )
            model = recalibrate_batch_norm(model, measured_on)
    scores = evaluate(
        model, dataset, batch_size=batch_size, tta=config.tta, mc_dropout=config.mc_dropout
    )

    table = format_scores(scores, spec, arch=info.arch)
    settings = {
        "checkpoint": config.checkpoint,
        "arch": info.arch,
        "data": data,
        "split": config.split,
        "images": len(dataset),
        "bn": config.bn,
        "batch_size": batch_size,
        "tta": config.tta,
        "mc_dropout": config.mc_dropout,
        "image_scale": info.image_scale,
    }
    save_scores(scores, spec, out, table=table, settings=settings)
    if config.mc_dropout and isinstance(dataset, SegmentationDataset):
        save_uncertainty(model, dataset, out / UNCERTAINTY_NAME, passes=config.mc_dropout)
    statistics = f"batch norm {config.bn}" + (f" of {batch_size}" if config.bn == "batch" else "")
    how = [f"{len(dataset)} images", statistics]
    how += ["test-time augmentation"] if config.tta else []
    how += [f"mean of {config.mc_dropout} passes with dropout"] if config.mc_dropout else []
    print(
        f"\n{info.arch} on {spec.name} {config.split}: {', '.join(how)} (in %)\n\n{table}\n\n"
        f"written to {out}"
    )
    return scores


def evaluate(
    model: Predictor,
    dataset: ImageDataset,
    *,
    batch_size: int = 1,
    tta: bool = False,
    mc_dropout: int = 0,
    limit: int | None = None,
) -> Scores:
    """Scores of a model over the images of a data set, at the labels' own size.

    Batch norm is used as the model holds it: see `recalibrate_batch_norm` and
    `use_batch_statistics` for the other two modes. `mc_dropout` judges the mean of that many passes
    with random dropout. `limit` judges that many images, spread evenly over the data set, and not
    all.

    Raises ValueError for `mc_dropout` of a model without dropout, or together with `tta`.
    """
    if tta and mc_dropout:
        raise ValueError("tta and mc_dropout average in two ways; give one of them")
    device = model.device
    spec = dataset.spec
    meter = Meter(spec.task, spec.num_classes, ignore_index=spec.ignore_index).to(device)
    number = min(limit or len(dataset), len(dataset))
    chosen = Subset(dataset, [i * len(dataset) // number for i in range(number)])
    loader = make_loader(chosen, batch_size=batch_size, shuffle=False, num_workers=0, seed=0)
    dropout = random_dropout(model) if mc_dropout else nullcontext()
    with torch.inference_mode(), dropout:
        for batch in tqdm(loader, desc="evaluating", disable=None, leave=False):
            images, labels = batch["image"].to(device), batch["label"].to(device).long()
            if tta:
                logits = augmented_logits(model, images, size=labels.shape[1:])
            elif mc_dropout:
                logits = as_logits(draw(model, images, labels, passes=mc_dropout).mean)
            else:
                logits = logits_for(model, images, labels)
            meter.update(logits, labels)
    return meter.compute()


def _output_folder(config: EvalConfig, spec: DatasetSpec, *, batch_size: int) -> Path:
    """Where the results go; refuses to replace earlier ones unless asked to."""
    statistics = f"batch{batch_size}" if config.bn == "batch" else config.bn
    name = f"{spec.name}_{config.split}_{statistics}" + ("_tta" if config.tta else "")
    name += f"_mc{config.mc_dropout}" if config.mc_dropout else ""
    file = find_model_file(config.checkpoint)
    if file.suffix not in CHECKPOINT_SUFFIXES:
        name += f"_{file.name.replace('.', '_')}"  # an exported model, beside that of its run
    if file.resolve().is_relative_to(WEIGHTS):
        name = f"{file.parent.name}_{name}"  # others of that data set have no folder of their own
    out = Path(config.out or find_results_folder(config.checkpoint) / "eval" / name)
    if (out / JSON_NAME).exists() and not config.overwrite:
        raise ValueError(
            f"{out} already holds an evaluation; replace it by --overwrite, or choose another "
            "folder by --out"
        )
    return out
