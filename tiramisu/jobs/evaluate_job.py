"""`tiramisu eval` by many processes: each counts some images, and the counts are added up."""

import dataclasses
import functools
import secrets
from collections.abc import Sequence

import torch

from tiramisu.checkpoints.model import ImageModel
from tiramisu.data.dataset import ImageDataset
from tiramisu.evaluation.batch_norm import use_batch_statistics
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
from tiramisu.evaluation.scores import Scores
from tiramisu.evaluation.tally import Tally, Testing, count_images
from tiramisu.inference.load import load_predictor
from tiramisu.inference.predictor import Predictor
from tiramisu.jobs.cluster import Workers, divide_into_chunks, find_place, open_workers
from tiramisu.jobs.packed_model import COMPUTING, PackedModel, load_unpacked
from tiramisu.progress import track


def evaluate_job(config: EvalConfig) -> Scores:
    """Evaluate a trained model by workers; the scores are those of `evaluate_checkpoint`.

    Args:
        config: the settings, with `workers` or `scheduler`. Workers read the images by the same
            paths as this process.

    Raises:
        ValueError, FileNotFoundError: as `evaluate_checkpoint`; or averages over random passes are
            asked for, which would differ.
        OSError: the scheduler cannot be reached.
    """
    if config.mc_dropout:
        raise ValueError(
            "--mc-dropout depends on the order of the images, and several workers have none; leave "
            "one of them out"
        )
    model = load_predictor(config.checkpoint, accelerator=config.accelerator)
    with open_workers(number=config.workers, scheduler=config.scheduler) as workers:
        count = functools.partial(_count_by_workers, workers, config)
        return evaluate_checkpoint(config, model=model, count=count)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Task:
    """What is the same for all images."""

    key: str
    fingerprint: str
    config: EvalConfig
    testing: Testing


_DATASETS: dict[str, ImageDataset] = {}
"""The data sets that this process has got, by their keys."""


def _count_by_workers(
    workers: Workers,
    config: EvalConfig,
    model: Predictor,
    dataset: ImageDataset,
    indices: Sequence[int],
    testing: Testing,
) -> Tally:
    packed = _pack(model, config)
    task = _Task(
        key=secrets.token_hex(6),
        fingerprint=packed.fingerprint,
        config=config,
        testing=dataclasses.replace(testing, show_progress=False),
    )
    name = f"tiramisu-{packed.fingerprint}"
    workers.set_up(packed.unpack, name=name, undo=packed.forget)
    forget = functools.partial(_forget, task.key)
    workers.set_up(functools.partial(_keep, task.key, dataset), name=task.key, undo=forget)
    size = workers.chunk_size(len(indices), unit=testing.batch_size)
    chunks = divide_into_chunks(indices, size)
    whole: Tally | None = None
    results = workers.run_in_order(functools.partial(_count_chunk, task=task), chunks)
    total = -(-len(indices) // size)
    for chunk, tally, reason in track(results, doing="evaluating", unit="chunks", total=total):
        if tally is None:
            names = ", ".join(dataset.names[index] for index in chunk)
            raise OSError(f"{reason}, with one of the images {names}")
        if whole is None:
            whole = tally
        else:
            whole.merge(tally)
    assert whole is not None, "a split has images"
    return whole


def _count_chunk(indices: Sequence[int], *, task: _Task) -> Tally:
    """Count some images, in a worker."""
    place = find_place()
    torch.set_num_threads(place.threads)
    model = load_unpacked(task.fingerprint, task.config.accelerator, number=place.number)
    if task.config.bn == "batch" and isinstance(model, ImageModel):
        model = use_batch_statistics(model)
    with COMPUTING:
        return count_images(model, _DATASETS[task.key], indices, task.testing)


def _keep(key: str, dataset: ImageDataset) -> None:
    _DATASETS[key] = dataset


def _forget(key: str) -> None:
    _DATASETS.pop(key, None)


def _pack(model: Predictor, config: EvalConfig) -> PackedModel:
    """The model of a checkpoint, with the running averages that it has now."""
    if config.bn != "recalibrated":
        return PackedModel.of(config.checkpoint)
    assert isinstance(model, ImageModel)
    return PackedModel.of_model(model)
