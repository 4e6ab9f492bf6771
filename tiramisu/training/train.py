"""A training run from its settings to its published model: plan, fit, publish."""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator

from lightning.pytorch.utilities.exceptions import SIGTERMException

from tiramisu.atomic import DISK_ERRORS, WriteError, make_folder, remove_leftovers
from tiramisu.checkpoints.checkpoint import load_model, save_model
from tiramisu.checkpoints.model import ImageModel
from tiramisu.checkpoints.run_folder import BEST, LAST
from tiramisu.data.dataset import open_split
from tiramisu.data.spec import DatasetSpec
from tiramisu.devices import is_main_process, is_out_of_memory, pick_device
from tiramisu.evaluation.batch_norm import recalibrate_batch_norm
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate import evaluate_checkpoint
from tiramisu.evaluation.metrics import Scores
from tiramisu.evaluation.plots import plot_curves
from tiramisu.evaluation.samples import save_samples
from tiramisu.inference.tester import as_tile
from tiramisu.interrupts import Terminated, restored_handlers
from tiramisu.training.config import TrainConfig
from tiramisu.training.failures import explain_evaluation, explain_failure
from tiramisu.training.planning import TrainingPlan, plan
from tiramisu.training.run_settings import (
    FOLDER_VARIABLE,
    FolderTakenError,
    save_config,
)
from tiramisu.training.training_run import TrainingRun, score_percentages
from tiramisu.visual.pictures import save_png


def train(config: TrainConfig) -> TrainingRun:
    """Train a network, evaluate it, and publish it in a run's folder.

    The folder then holds config.yaml, metrics.csv, TensorBoard's events, checkpoints/, the
    published model (model.safetensors, model.json), scores/, curves.png and samples.png.

    Args:
        config: the settings; `ClassifierTrainConfig` has other defaults.

    Returns:
        The run: its folder, its published model, and how well that does.

    Raises:
        ValueError, FileNotFoundError: something that the user can mend; the message says how.
        KeyboardInterrupt: stopped by the user, after everything learnt was saved.
    """
    while True:
        planned = plan(config)
        try:
            fit(planned)
        except FolderTakenError:
            if config.out is not None:
                raise
        else:
            return publish(planned)


def fit(planned: TrainingPlan) -> None:
    """Train. If that is broken off, what the complete epochs have learnt is published first."""
    config, trainer, history = planned.config, planned.trainer, planned.history
    rows_before = list(history.rows)
    make_folder(planned.folder)
    os.environ[FOLDER_VARIABLE] = str(planned.folder)
    if is_main_process():
        save_config(config, planned.folder)  # claims the folder of a new run
        remove_leftovers(planned.folder)
        print(
            f"{config.arch} on {planned.spec.title}: {len(planned.data.train_set)} images, run in "
            f"{planned.folder}"
        )
    with _explained(planned):
        try:
            _fit_with_lightning(planned)
        except BaseException as error:
            if trainer.is_global_zero:
                _keep_what_was_learnt(planned, is_new=history.rows != rows_before)
            explained = explain_failure(error, planned)
            if explained is None:
                raise
            raise ValueError(explained) from None
    if trainer.is_global_zero and history.rows == rows_before:
        print("nothing was left to train; raise --epochs to go on")


@contextlib.contextmanager
def _explained(planned: TrainingPlan) -> Iterator[None]:
    """Add to an interrupt, and to the error of a full disk, what is kept and how to go on."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        epochs = f"stopped after {len(planned.history.rows)} of {planned.config.epochs} epochs"
        raise type(interrupt)(f"{str(interrupt) or epochs}; {planned.how_to_go_on}") from None
    except OSError as error:
        if error.errno in DISK_ERRORS:  # TensorBoard's files are not written by us
            error = WriteError(planned.folder, error.strerror)
        if not isinstance(error, WriteError):
            raise
        raise OSError(f"{error}. Once it can be written, {planned.how_to_go_on}") from None


def _fit_with_lightning(planned: TrainingPlan) -> None:
    """Train, with errors that say what to do."""
    try:
        with restored_handlers():
            planned.trainer.fit(
                planned.task,
                datamodule=planned.data,
                ckpt_path=planned.checkpoint,
                weights_only=True,
            )
    except SystemExit as end:  # so Lightning exits after Ctrl-C
        terminated = isinstance(end, SIGTERMException) or isinstance(end.__context__, Terminated)
        kind = Terminated if terminated else KeyboardInterrupt
        raise kind(*end.__context__.args if end.__context__ else ()) from None


def _keep_what_was_learnt(planned: TrainingPlan, *, is_new: bool) -> None:
    """Publish the complete epochs of a run that was broken off; delete a run without one.

    Args:
        planned: the run.
        is_new: whether epochs were completed since it was started or resumed.
    """
    with contextlib.suppress(WriteError):  # the first error is the one to show
        if planned.checkpoint is not None:
            if is_new:
                _save_published(_load_trained(planned), planned)
            return
        if planned.has_learnt:  # what failed came before the first checkpoint
            save_model(planned.task.model, planned.folder)
            return
    if planned.checkpoint is None and planned.config.resume is None:
        shutil.rmtree(planned.folder)


def publish(planned: TrainingPlan) -> TrainingRun:
    """Recalibrate, evaluate and save the trained model, with its pictures.

    Whatever fails or interrupts on the way, the model is saved.
    """
    config, spec, folder = planned.config, planned.spec, planned.folder
    history = planned.history.rows
    if not planned.trainer.is_global_zero:
        return TrainingRun(folder=folder, task=spec.task, history=history, scores=None)
    with _explained(planned):
        model = _load_trained(planned)
        try:
            try:
                if config.recalibrate:
                    model = _recalibrate(model, spec, config)
                scores = _evaluate(model, planned)
                percent = score_percentages(scores, task=spec.task)
                metrics = {figure.attribute: value for figure, value in percent.items()}
                model.info = dataclasses.replace(model.info, metrics=metrics)
            finally:
                _save_published(model, planned)
            picture, tile = folder / "samples.png", as_tile(config.tile)
            save_samples(model, planned.data.val_set, picture, tile=tile)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise ValueError(explain_evaluation(planned)) from None
    print(f"the model, curves.png and samples.png are in {folder}")
    return TrainingRun(folder=folder, task=spec.task, history=history, scores=scores)


def _load_trained(planned: TrainingPlan) -> ImageModel:
    """The model of the epoch that `keep` chooses, on the device for its evaluation."""
    best, last = planned.folder / BEST, planned.folder / LAST
    # A run that ended before its first validation has no best epoch.
    chosen = best if planned.config.keep == "best" and best.is_file() else last
    return load_model(chosen, device=pick_device(planned.config.accelerator))


def _recalibrate(model: ImageModel, spec: DatasetSpec, config: TrainConfig) -> ImageModel:
    """The model with batch norm statistics of the whole training images."""
    train_set = open_split(
        spec,
        config.train_split,
        root=config.data_root,
        image_scale=config.image_scale,
        format=model.info.image_format,
    )
    try:
        return recalibrate_batch_norm(model, train_set, tile=as_tile(config.tile))
    except ValueError as error:
        print(f"Warning: the model keeps its running statistics: {error}")
        return model


def _evaluate(model: ImageModel, planned: TrainingPlan) -> Scores:
    """The scores on the validation split, which are written into the run's folder."""
    config, folder = planned.config, planned.folder
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
    return evaluate_checkpoint(settings, model=model)


def _save_published(model: ImageModel, planned: TrainingPlan) -> None:
    save_model(model, planned.folder)
    rows, task = planned.history.rows, planned.spec.task
    curves = plot_curves(rows, task=task, final_from=planned.config.final_from)
    save_png(planned.folder / "curves.png", curves)
