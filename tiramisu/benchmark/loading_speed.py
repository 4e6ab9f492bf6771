"""Whether loading keeps up with training, on the images of a data set."""

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from tiramisu.benchmark import steps
from tiramisu.benchmark.comparison import Comparison, Result, take_turns, time_step
from tiramisu.benchmark.contenders import Case
from tiramisu.data.catalog import load_spec
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.loader import make_loader
from tiramisu.data.transforms import TrainTransform
from tiramisu.training.config import TrainConfig
from tiramisu.training.losses import build_loss
from tiramisu.training.optim import build_optimizer
from tiramisu.training.preparing import build_model_for


def compare_loading(
    case: Case,
    *,
    data: str,
    data_root: str | None,
    seconds: float,
    workers: Sequence[int] = (0, 1, 2),
) -> Comparison:
    """Time a training step on one batch that is in memory, then with loading, and loading alone.

    Images are cropped to the size of the case, and augmented more than by the recipes in the
    package. They are decoded and kept in memory, or read from files each time, by each of these
    numbers of worker processes. Each way is timed for `seconds`, see `take_turns`.

    Raises:
        ValueError: the data are not there, or are too few for one batch.
    """
    spec = load_spec(data)
    config = TrainConfig(arch=case.arch, data=data, data_root=data_root, batch_size=case.batch)
    model = build_model_for(spec, config).to(case.device).train()
    loss = build_loss("cross_entropy", ignore_index=spec.ignore_index)
    train_on = steps.make_training_step(model, loss, build_optimizer(model.network, config), case)

    def train(batches: Iterator[Any]) -> None:
        batch = next(batches)
        images, labels = batch["image"].to(case.device), batch["label"].to(case.device)
        train_on(images, labels.long())

    results: list[Result] = []

    def measure(name: str, step: steps.Step, *, skip: int, multiply_adds: int) -> None:
        print(f"{case.title}: timing {name}", file=sys.stderr)
        time_step(step, skip)
        times = take_turns({name: step}, rounds=sys.maxsize, seconds=seconds)[name]
        results.append(Result(contender=name, seconds=times, multiply_adds=multiply_adds))

    work = steps.count_multiply_adds("ours", case)
    size = (case.height, case.width)
    transform = TrainTransform(crop=size, scale=(0.5, 2.0), flip=True, color=0.5)
    notes = {"images": f"from {data}"}
    for source in ("memory", "files"):
        cache = source == "memory"
        dataset = ImageDataset(spec, "train", root=data_root, transform=transform, cache=cache)
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
            if not results:
                first = itertools.repeat(next(batches))
                measure("no loading", partial(train, first), skip=1, multiply_adds=work)
            # Batches that the workers have already loaded would count as if they took no time.
            skip = 2 * num_workers + 1
            name = f"from {source}, {num_workers} workers"
            measure(f"train {name}", partial(train, batches), skip=skip, multiply_adds=work)
            measure(f"load {name}", partial(next, batches), skip=skip, multiply_adds=0)
    products, operations = steps.make_matrix_products(case)
    times = [min(turns) for turns in take_turns(products, rounds=3, seconds=0).values()]
    return Comparison(case=case, limit=operations / min(times), results=results, notes=notes)


def _repeat_epochs(dataset: ImageDataset, batch_size: int, workers: int) -> Iterator[Any]:
    loader: Any = make_loader(
        dataset, batch_size=batch_size, shuffle=True, num_workers=workers, seed=0, drop_last=True
    )
    for epoch in itertools.count():
        loader.sampler.set_epoch(epoch)
        yield from loader
