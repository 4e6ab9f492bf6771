"""A training run from its settings to its published model: prepare, fit, publish."""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator

from lightning.pytorch.utilities.exceptions import SIGTERMException

from tiramisu.atomic import DISK_ERRORS, WriteError, make_folder, remove_leftovers, write_file
from tiramisu.checkpoints.checkpoint import load_model, save_model
from tiramisu.checkpoints.model import ImageModel
from tiramisu.checkpoints.run_folder import BEST, FOLDER_VARIABLE, LAST, SPLIT_NAME
from tiramisu.devices import is_main_process, is_out_of_memory, pick_device
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
from tiramisu.evaluation.plots import plot_curves
from tiramisu.evaluation.samples import save_samples
from tiramisu.evaluation.score_page import REPORT_NAME
from tiramisu.evaluation.scores import Scores
from tiramisu.inference.tester import as_tile
from tiramisu.interrupts import Terminated, restored_handlers
from tiramisu.terminal import quiet_libraries
from tiramisu.training.config import TrainConfig
from tiramisu.training.failures import explain_evaluation, explain_failure
from tiramisu.training.preparing import PreparedRun, prepare
from tiramisu.training.run_settings import (
    FolderTakenError,
    save_config,
    save_origin,
)
from tiramisu.training.training_run import TrainingRun, score_percentages
from tiramisu.training.user_parts import NO_PARTS, OwnParts
from tiramisu.visual.pictures import save_png


def train(config: TrainConfig, *, parts: OwnParts = NO_PARTS) -> TrainingRun:
    """Train a network, evaluate it, and publish it in a run's folder.

    The folder then holds config.yaml, metrics.csv, TensorBoard's events, checkpoints/, the
    published model (model.safetensors, model.json), scores/, curves.png and samples.png.

    Args:
        config: the settings; `ClassifierTrainConfig` has other defaults.
        parts: a network, a loss and more of one's own, in place of those in the settings.

    Returns:
        The run: its folder, its published model, and how well that does.

    Raises:
        ValueError, FileNotFoundError: something that the user can mend; the message says how.
        KeyboardInterrupt: stopped by the user, after everything learnt was saved.
    """
    with quiet_libraries():
        while True:
            prepared = prepare(config, given=parts)
            try:
                fit(prepared)
            except FolderTakenError:
                if config.out is not None:
                    raise
            else:
                return publish(prepared)


def fit(prepared: PreparedRun) -> None:
    """Train. If that is broken off, what the complete epochs have learnt is published first."""
    config, trainer, history = prepared.config, prepared.trainer, prepared.history
    rows_before = list(history.rows)
    make_folder(prepared.folder)
    os.environ[FOLDER_VARIABLE] = str(prepared.folder)
    if is_main_process():
        save_config(config, prepared.folder)  # claims the folder of a new run
        if prepared.spec.record is not None:
            write_file(prepared.folder / SPLIT_NAME, prepared.spec.record.to_yaml())
        save_origin(prepared.folder, pick_device(config.accelerator))
        remove_leftovers(prepared.folder)
        print(
            f"{config.arch} on {prepared.spec.title}: {len(prepared.data.train_set)} images, "
            f"run in {prepared.folder}"
        )
    with _explained(prepared):
        try:
            _fit_with_lightning(prepared)
        except BaseException as error:
            if trainer.is_global_zero:
                _keep_what_was_learnt(prepared, is_new=history.rows != rows_before)
            explained = explain_failure(error, prepared)
            if explained is None:
                raise
            raise ValueError(explained) from None
    if trainer.is_global_zero and history.rows == rows_before:
        print("nothing was left to train; raise --epochs to go on")


@contextlib.contextmanager
def _explained(prepared: PreparedRun) -> Iterator[None]:
    """Add to an interrupt, and to the error of a full disk, what is kept and how to go on."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        epochs = f"stopped after {len(prepared.history.rows)} of {prepared.config.epochs} epochs"
        raise type(interrupt)(f"{str(interrupt) or epochs}; {prepared.how_to_go_on}") from None
    except OSError as error:
        if error.errno in DISK_ERRORS:  # TensorBoard's files are not written by us
            error = WriteError(prepared.folder, error.strerror)
        if not isinstance(error, WriteError):
            raise
        raise OSError(f"{error}. Once it can be written, {prepared.how_to_go_on}") from None


def _fit_with_lightning(prepared: PreparedRun) -> None:
    """Train, with errors that say what to do."""
    try:
        with restored_handlers():
            prepared.trainer.fit(
                prepared.task,
                datamodule=prepared.data,
                ckpt_path=prepared.checkpoint,
                weights_only=True,
            )
    except SystemExit as end:  # so Lightning exits after Ctrl-C
        terminated = isinstance(end, SIGTERMException) or isinstance(end.__context__, Terminated)
        kind = Terminated if terminated else KeyboardInterrupt
        raise kind(*end.__context__.args if end.__context__ else ()) from None


def _keep_what_was_learnt(prepared: PreparedRun, *, is_new: bool) -> None:
    """Publish the complete epochs of a run that was broken off; delete a run without one.

    Args:
        prepared: the run.
        is_new: whether epochs were completed since it was started or resumed.
    """
    with contextlib.suppress(WriteError):  # the first error is the one to show
        if prepared.checkpoint is not None:
            if is_new:
                _save_published(_load_trained(prepared), prepared)
            return
        if prepared.has_learnt:  # what failed came before the first checkpoint
            save_model(prepared.task.model, prepared.folder)
            return
    if prepared.checkpoint is None and prepared.config.resume is None:
        shutil.rmtree(prepared.folder)


def publish(prepared: PreparedRun) -> TrainingRun:
    """Recalibrate, evaluate and save the trained model, with its pictures.

    Whatever fails or interrupts on the way, the model is saved.
    """
    config, spec, folder = prepared.config, prepared.spec, prepared.folder
    history = prepared.history.rows
    if not prepared.trainer.is_global_zero:
        return TrainingRun(
            folder=folder,
            task=spec.task,
            history=history,
            scores=None,
            network=prepared.parts.network,
        )
    with _explained(prepared):
        model = _load_trained(prepared)
        try:
            try:
                # The best epoch was saved with the statistics of its validation.
                if config.recalibrate and not _is_best(prepared):
                    prepared.task.refresh_batch_norm(model)
                scores = _evaluate(model, prepared)
                percent = score_percentages(scores, task=spec.task)
                metrics = {figure.attribute: value for figure, value in percent.items()}
                model.info = dataclasses.replace(model.info, metrics=metrics)
            finally:
                _save_published(model, prepared)
            picture, tile = folder / "samples.png", as_tile(config.tile)
            save_samples(model, prepared.data.val_set, picture, tile=tile)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise ValueError(explain_evaluation(prepared)) from None
    print(f"the model, curves.png and samples.png are in {folder}")
    return TrainingRun(
        folder=folder,
        task=spec.task,
        history=history,
        scores=scores,
        network=prepared.parts.network,
    )


def _is_best(prepared: PreparedRun) -> bool:
    """Whether the best epoch is published; a run that was never validated has none."""
    return prepared.config.keep == "best" and (prepared.folder / BEST).is_file()


def _load_trained(prepared: PreparedRun) -> ImageModel:
    """The model of the epoch that `keep` chooses, on the device for its evaluation."""
    chosen = prepared.folder / (BEST if _is_best(prepared) else LAST)
    device = pick_device(prepared.config.accelerator)
    return load_model(chosen, device=device, network=prepared.parts.network)


def _evaluate(model: ImageModel, prepared: PreparedRun) -> Scores:
    """The scores on the validation split, which are written into the run's folder."""
    config, folder = prepared.config, prepared.folder
    settings = EvalConfig(
        checkpoint=str(folder),
        data=config.data,
        data_root=config.data_root,
        split=config.val_split,
        batch_size=config.eval_batch_size,
        tile=config.tile,
        out=str(folder / "scores"),
        overwrite=True,
        accelerator=config.accelerator,
    )
    return evaluate_checkpoint(
        settings,
        model=model,
        metrics=prepared.parts.metrics,
        history=prepared.history.rows,
        report=folder / REPORT_NAME,
    )


def _save_published(model: ImageModel, prepared: PreparedRun) -> None:
    save_model(model, prepared.folder)
    rows, task = prepared.history.rows, prepared.spec.task
    curves = plot_curves(
        rows,
        title=f"{prepared.config.arch} on {prepared.spec.name}",
        task=task,
        monitor=prepared.history.monitor,
        final_from=prepared.config.final_from,
    )
    save_png(prepared.folder / "curves.png", curves)
