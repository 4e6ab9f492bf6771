"""Whether loading keeps up with training, on the images of a data set."""

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tiramisu.benchmark.comparison import Comparison, Result, take_turns, time_step
from tiramisu.benchmark.contenders import Case
from tiramisu.benchmark.steps import (
    Step,
    count_multiply_adds,
    make_matrix_products,
    make_training_step,
)
from tiramisu.data.catalog import load_spec
from tiramisu.data.dataset import SegmentationDataset
from tiramisu.data.loader import make_loader
from tiramisu.data.transforms import train_transform
from tiramisu.training.config import TrainConfig
from tiramisu.training.losses import build_loss
from tiramisu.training.optim import build_optimizer
from tiramisu.training.train import build_model_for

MIN_BATCHES = 3


def compare_loading(
    case: Case,
    *,
    data: str,
    data_root: str | None,
    seconds: float,
    workers: Sequence[int] = (0, 1, 2),
) -> Comparison:
    """Time a training step on one batch that is in memory, then with loading, and loading alone.

    Args:
        case: a training step. Images are cropped to its size, and augmented more than by the
            shipped recipes.
        data, data_root: data set, and the folder of its files, as in `TrainConfig`. The images are
            decoded and kept in memory, or read from files each time.
        workers: numbers of processes that load.
        seconds: how long each way is timed; at least 3 batches are.

    Raises:
        ValueError: the data are not there, or are too few for one batch.
    """
    spec = load_spec(data)
    config = TrainConfig(arch=case.arch, data=data, data_root=data_root, batch_size=case.batch)
    model = build_model_for(spec, config).to(case.device).train()
    loss = build_loss(config.loss, ignore_index=spec.ignore_index)
    train_on = make_training_step(model, loss, build_optimizer(model.network, config), case)

    def train(batches: Iterator[Any]) -> None:
        batch = next(batches)
        images, labels = batch["image"].to(case.device), batch["label"].to(case.device)
        train_on(images, labels.long())

    size = (case.height, case.width)
    transform = train_transform(crop=size, scale=(0.5, 2.0), flip=True, color=0.5)
    root = Path(data_root) if data_root else None
    steps: dict[str, tuple[Step, int]] = {}
    notes = {"images": f"from {data}"}
    for source in ("memory", "files"):
        cache = source == "memory"
        dataset = SegmentationDataset(spec, "train", root=root, transform=transform, cache=cache)
        if len(dataset) < case.batch:
            raise ValueError(
                f"{data} has {len(dataset)} training images, too few for a batch of {case.batch}; "
                "choose a smaller --batch"
            )
        started = time.perf_counter()
        dataset.preload()
        if cache:
            notes[source] = f"images decoded in {time.perf_counter() - started:.1f} s"
        for num_workers in workers:
            batches = _repeat_epochs(dataset, case.batch, num_workers)
            if not steps:
                steps["no loading"] = (partial(train, itertools.repeat(next(batches))), 1)
            # Batches that the workers have already loaded would count as if they took no time.
            skip = 2 * num_workers + 1
            name = f"{source}, {num_workers} workers"
            steps[f"train from {name}"] = (partial(train, batches), skip)
            steps[f"load from {name}"] = (partial(next, batches), skip)
    results = []
    for name, (step, skip) in steps.items():
        print(f"{case.title}: timing {name}", file=sys.stderr)
        work = 0 if name.startswith("load") else count_multiply_adds("ours", case)
        times = [time_batches(step, seconds, skip=skip)]
        results.append(Result(contender=name, seconds=times, multiply_adds=work))
    products, operations = make_matrix_products(case)
    times = [min(turns) for turns in take_turns(products, rounds=3, seconds=0).values()]
    return Comparison(case=case, limit=operations / min(times), results=results, notes=notes)


def time_batches(step: Step, seconds: float, *, skip: int) -> float:
    """Mean seconds of a step that is repeated, the first `skip` times not counted."""
    time_step(step, skip)
    count, spent = 0, 0.0
    while count < MIN_BATCHES or spent < seconds:
        count, spent = count + 1, spent + time_step(step, 1)
    return spent / count


def _repeat_epochs(dataset: SegmentationDataset, batch_size: int, workers: int) -> Iterator[Any]:
    options: Any = {"num_workers": workers, "seed": 0, "drop_last": True}
    loader: Any = make_loader(dataset, batch_size=batch_size, shuffle=True, **options)
    for epoch in itertools.count():
        loader.sampler.set_epoch(epoch)
        yield from loader
