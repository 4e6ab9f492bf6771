"""`tiramisu predict` by many processes, from and to object storage; the same command goes on."""

import dataclasses
import functools
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tiramisu.checkpoints.model import ImageModel
from tiramisu.inference.config import PredictConfig
from tiramisu.inference.files import check_settings
from tiramisu.inference.load import load_predictor
from tiramisu.inference.predict_input import all_endings
from tiramisu.inference.predictor import Predictor
from tiramisu.jobs.cluster import CHUNK, Workers, divide_into_chunks, open_workers
from tiramisu.jobs.journal import FAILED_NAME, Journal, Outcome
from tiramisu.jobs.packed_model import PackedModel
from tiramisu.jobs.sources import LIST_SUFFIX, Source, find_sources
from tiramisu.jobs.storage import Store, is_url
from tiramisu.jobs.stored_input import Work, predict_chunk, predict_sources
from tiramisu.progress import track
from tiramisu.text import in_percent, path_text, show_path

SETTINGS = (
    *("tile", "tta", "uncertainty", "mc_dropout", "polygons", "show_bands", "opacity"),
    *("unpainted", "probabilities", "class_masks"),
)
"""The settings on which results depend."""


@dataclass(frozen=True, kw_only=True)
class JobSummary:
    """What a job has done. str() gives it in two lines."""

    done: int
    """Files that it predicted."""
    skipped: int
    """Files whose results were there already."""
    failed: Mapping[str, str]
    """Why files have failed, now or before, by their paths or URLs."""
    seconds: float
    shares: Mapping[str, float]
    """Share of each class in the pixels of all results, 0..1."""

    def __str__(self) -> str:
        rate = f", {self.done / self.seconds:.3g} a second" if self.done else ""
        skipped = f", {self.skipped} were done before" if self.skipped else ""
        failed = f", {len(self.failed)} failed" if self.failed else ""
        shares = ", ".join(f"{name} {in_percent(part)}" for name, part in self.shares.items())
        files = f"{self.done} file{'s' * (self.done != 1)}"
        return f"{files} predicted{rate}{skipped}{failed}\nshares of all (in %): {shares}"

    def raise_failures(self) -> None:
        """Raise ValueError if a file has failed."""
        if self.failed:
            place, reason = next(iter(self.failed.items()))
            raise ValueError(
                f"{len(self.failed)} of {self.done + self.skipped + len(self.failed)} files "
                f"failed, the others are done; {FAILED_NAME} has all reasons, such as {place}: "
                f"{reason}. --retry-failed tries them again"
            )


def needs_job(sources: Sequence[str], config: PredictConfig) -> bool:
    """Whether a prediction is a job: by several processes, or with URLs or lists of files."""
    places = (*sources, config.out)
    is_shared = config.workers is not None or config.scheduler is not None
    is_list = any(source.lower().endswith(LIST_SUFFIX) for source in sources)
    return is_shared or is_list or any(is_url(place) for place in places)


def predict_many(
    model: str | Path | ImageModel,
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    config: PredictConfig | None = None,
) -> JobSummary:
    """Predict many images, maps and videos; the same call goes on where an earlier one stopped.

    A script that starts workers calls this below `if __name__ == "__main__":`, because each worker
    imports the script.

    Args:
        model: what --checkpoint takes, or a model.
        sources: files, folders, patterns, lists of files (.txt), and URLs of such.
        out: the folder of the results, or its URL.
        workers: number of processes of this machine; None for this process alone.
        scheduler: address of a Dask scheduler, to use its workers.
        config: further settings.

    Raises:
        FileNotFoundError, ValueError, OSError: as `predict_job`. A file that fails is no error: it
            is in the summary.
    """
    name = model.info.arch if isinstance(model, ImageModel) else str(model)
    config = dataclasses.replace(
        config or PredictConfig(checkpoint=name),
        checkpoint=name,
        out=str(out),
        workers=workers,
        scheduler=scheduler,
    )
    places = [sources] if isinstance(sources, str | Path) else sources
    given = model if isinstance(model, ImageModel) else None
    return predict_job([str(place) for place in places], config=config, model=given)


def predict_job(
    sources: Sequence[str], *, config: PredictConfig, model: ImageModel | None = None
) -> JobSummary:
    """Predict images, maps and videos by workers, and write the results into a folder or a bucket.

    The results of each file are those of `predict_files`. The same call goes on where an earlier
    one was stopped, whatever stopped it; files in failed.csv are left out, unless `retry_failed`.

    Args:
        sources: files, folders, patterns, lists of files (.txt), and URLs of such; see
            `find_sources`.
        config: the settings. Without `workers` and `scheduler` this process does the work.
        model: a model, in place of that which `config.checkpoint` names.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: model and settings do not fit together, or the folder holds the results of
            others.
        OSError: storage or scheduler cannot be reached, or results cannot be written.
    """
    if config.polygons == "coco":
        raise ValueError(
            "--polygons coco with workers or URLs: the annotations of all images are one file; "
            "give --polygons geojson"
        )
    if not is_url(config.out):  # workers may have another working folder
        config = dataclasses.replace(config, out=os.path.abspath(config.out))
    packed = PackedModel.of(config.checkpoint) if model is None else PackedModel.of_model(model)
    predictor = model or load_predictor(config.checkpoint, accelerator=config.accelerator)
    check_settings(predictor, config)
    found = find_sources(sources, recursive=config.recursive, out=config.out)
    journal = _open_journal(found, config, packed, class_names=predictor.info.class_names)
    work = Work(job=journal.job, fingerprint=packed.fingerprint, config=config)
    known = set(journal.rows) if config.retry_failed else {*journal.rows, *journal.failed}
    todo = [source for source in found if path_text(source.place) not in known]
    start, done = time.monotonic(), 0
    with _open_workers(config if todo else None) as workers:
        outcomes = (
            _run_here(predictor, todo, work)
            if workers is None
            else _run_workers(workers, packed, todo, work)
        )
        before = len(found) - len(todo)
        try:
            for outcome in track(
                outcomes, doing="predicting", unit="files", total=len(found), done=before
            ):
                journal.add(outcome)
                done += outcome.row is not None and not outcome.was_done
        except (KeyboardInterrupt, OSError) as error:
            journal.flush()
            raise _explain_stop(error, before + done, total=len(found), out=config.out) from None
    journal.finish()
    places = [path_text(source.place) for source in found]
    failed = {place: journal.failed[place] for place in places if place in journal.failed}
    return JobSummary(
        done=done,
        skipped=len(found) - done - len(failed),
        failed=failed,
        seconds=time.monotonic() - start,
        shares=journal.shares(),
    )


def _explain_stop(
    error: KeyboardInterrupt | OSError, done: int, *, total: int, out: str
) -> KeyboardInterrupt | OSError:
    """The same error, with how far the job has come."""
    kind, reason = (OSError, str(error)) if isinstance(error, OSError) else (type(error), "stopped")
    return kind(
        f"{reason}: at least {done} of {total} files are done, their results are in {out}; the "
        "same command goes on"
    )


def _open_journal(
    found: Sequence[Source],
    config: PredictConfig,
    packed: PackedModel,
    *,
    class_names: Sequence[str],
) -> Journal:
    store = Store(place=config.out)
    store.prepare()
    settings = {name: getattr(config, name) for name in SETTINGS}
    targets = {f"{source.name}{ending}" for source in found for ending in all_endings(config)}
    folder = store.folder
    own = {source.place for source in found}
    lost = [] if folder is None else [str(folder / t) for t in targets if str(folder / t) in own]
    if lost:
        raise ValueError(
            f"the results would replace the input {show_path(lost[0])}; give another --out"
        )
    return Journal(
        store,
        fingerprint={"model": packed.fingerprint, **settings},
        class_names=class_names,
        targets=targets,
        overwrite=config.overwrite,
    )


def _open_workers(config: PredictConfig | None) -> AbstractContextManager[Workers | None]:
    """The workers of a job; None where this process does the work, or there is none."""
    if config is None or (config.workers is None and config.scheduler is None):
        return nullcontext(None)
    return open_workers(number=config.workers, scheduler=config.scheduler)


def _run_here(model: Predictor, sources: Sequence[Source], work: Work) -> Iterator[Outcome]:
    for chunk in divide_into_chunks(sources, CHUNK):
        yield from predict_sources(model, chunk, work=work)


def _run_workers(
    workers: Workers, packed: PackedModel, sources: Sequence[Source], work: Work
) -> Iterator[Outcome]:
    """The outcomes of all files, in any order.

    A chunk that ends the processes of several workers is done file by file, to find out which one
    it was.
    """
    if workers.dashboard:
        print(f"what the workers do: {workers.dashboard}", flush=True)
    name = f"tiramisu-{packed.fingerprint}"
    workers.set_up(packed.unpack, name=name, undo=packed.forget)
    run = functools.partial(predict_chunk, work=work)
    alone: list[list[Source]] = []
    chunks = divide_into_chunks(sources, workers.chunk_size(len(sources)))
    for chunk, outcomes, reason in workers.run(run, chunks):
        if reason is None:
            assert outcomes is not None
            yield from outcomes
        elif len(chunk) > 1:
            alone += [[source] for source in chunk]
        else:
            yield _lost(chunk[0], reason)
    for chunk, outcomes, reason in workers.run(run, iter(alone)):
        if reason is None:
            assert outcomes is not None
            yield from outcomes
        else:
            yield _lost(chunk[0], reason)


def _lost(source: Source, reason: str) -> Outcome:
    return Outcome(source=path_text(source.place), row=None, reason=reason)
