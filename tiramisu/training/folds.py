"""Cross-validation: a training for each fold, and scores over all samples."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tiramisu.atomic import make_folder, write_file
from tiramisu.checkpoints.run_folder import CONFIG_NAME, read_settings
from tiramisu.checkpoints.weights_file import WEIGHTS_NAME
from tiramisu.data.catalog import load_spec
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.splitting.split_data import make_folds
from tiramisu.data.splitting.split_record import read_record
from tiramisu.evaluation.fold_scores import describe_spread, format_folds, join_scores, read_scores
from tiramisu.evaluation.score_files import JSON_NAME, TABLE_NAME, format_scores, save_scores
from tiramisu.evaluation.scores import Scores
from tiramisu.training.checks import check_machine, check_resume, check_task
from tiramisu.training.config import TrainConfig
from tiramisu.training.run_settings import choose_folder, save_config, use_absolute_paths
from tiramisu.training.train import train

FOLDS = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """A complete cross-validation."""

    folder: Path
    """It holds a run for each fold, fold1 and so on, their splits, and scores/."""
    fold_scores: tuple[Scores, ...]
    """Of each fold, on its own val."""
    scores: Scores
    """Of all samples, each predicted by the fold that did not see it in training."""


def train_folds(config: TrainConfig) -> CrossValidation:
    """Train a network for each fold of the data, one after another.

    Args:
        config: the settings of each training, as for `train`; `folds` is their number, by default
            5. `resume` is the folder of a cross-validation that was broken off: folds that are
            trained stay as they are.

    Raises:
        ValueError, FileNotFoundError: something that the user can mend; the message says how.
        KeyboardInterrupt: stopped by the user, after everything learnt was saved.
    """
    config = check_folds(config)
    plain = dataclasses.replace(config, folds=None, groups=None, split_seed=None)
    spec = load_spec(config.data, plain)
    check_task(spec, config)
    if config.resume is not None:
        check_resume(config)
    assert config.folds is not None
    numbers = range(1, config.folds + 1)
    folder = choose_folder(config, data_name=f"{spec.name}_folds{config.folds}")
    records = {number: folder / f"fold{number}.yaml" for number in numbers}
    if not all(path.is_file() for path in records.values()):
        made = make_folds(spec, config, root=config.data_root)
        # The first note of each is about the fold itself, which its training tells.
        for note in made[0].notes[len(spec.notes) + 1 :]:
            print(f"Note: {note}")
        make_folder(folder)
        save_config(config, folder)
        for path, fold in zip(records.values(), made, strict=True):
            assert fold.record is not None
            write_file(path, fold.record.to_yaml())
    print(f"{config.folds} folds in {folder}")
    is_checked = False
    for number, record in records.items():
        run = folder / f"fold{number}"
        if _is_done(run, epochs=config.epochs):
            print(f"fold {number} is trained already")
            continue
        print(f"\nFold {number} of {config.folds}")
        settings = dataclasses.replace(
            plain,
            split_file=str(record.resolve()),
            out=str(run),
            resume=str(run) if (run / CONFIG_NAME).is_file() else None,
            check_data=config.check_data and not is_checked,
        )
        try:
            train(settings)
        except KeyboardInterrupt as interrupt:
            raise type(interrupt)(
                f"{interrupt}. For all folds: go on with `tiramisu folds --resume {folder}`"
            ) from None
        is_checked = True
    return _score(folder, spec, config)


def check_folds(config: TrainConfig) -> TrainConfig:
    """The settings with the number of folds and absolute paths, if folds can be trained so."""
    for name, expected in (("train_split", "train"), ("val_split", "val")):
        if getattr(config, name) != expected:
            raise ValueError(
                f"--{name.replace('_', '-')} is {getattr(config, name)}; folds are made of train "
                "and val: leave it out"
            )
    if config.fold is not None:
        raise ValueError(
            f"--fold {config.fold} is one of the folds, and `folds` trains all: leave it out, or "
            "use `tiramisu train`"
        )
    if config.split_file is not None:
        raise ValueError("--split-file names one split, and `folds` makes its own: leave it out")
    if config.devices > 1 or config.num_nodes > 1:
        raise ValueError(
            "--devices and --num-nodes: `folds` trains in one process; train each fold by "
            "`tiramisu train --folds 5 --fold 1` and so on"
        )
    check_machine(config)
    folds = FOLDS if config.folds is None else config.folds
    return use_absolute_paths(dataclasses.replace(config, folds=folds))


def _is_done(run: Path, *, epochs: int) -> bool:
    """Whether a fold is trained and evaluated: its scores are written before its model."""
    if (run / CONFIG_NAME).is_file() and read_settings(run / CONFIG_NAME)["epochs"] < epochs:
        return False  # it is resumed with more epochs
    return (run / WEIGHTS_NAME).is_file() and (run / "scores" / JSON_NAME).is_file()


def _score(folder: Path, spec: DatasetSpec, config: TrainConfig) -> CrossValidation:
    """Put the scores of all folds together, print them, and write them into scores/."""
    assert config.folds is not None
    runs = [folder / f"fold{number}" for number in range(1, config.folds + 1)]
    each = [read_scores(run / "scores" / JSON_NAME, spec) for run in runs]
    scores = join_scores(each)
    table = _describe(each, scores, spec, config)
    out = make_folder(folder / "scores")
    images = sum(len(read_record(run.with_name(f"{run.name}.yaml")).val) for run in runs)
    settings = {
        "checkpoint": str(folder),
        "arch": config.arch,
        "data": config.data,
        "split": "val of each fold",
        "images": images,
        "folds": describe_spread(each, spec),
    }
    title = f"{config.arch} on {spec.name}, {config.folds} folds"
    save_scores(scores, spec, out, title=title, table=table, settings=settings)
    print(f"\n{table}\n\nwritten to {out / TABLE_NAME} and {JSON_NAME}")
    return CrossValidation(folder=folder, fold_scores=tuple(each), scores=scores)


def _describe(
    each: Sequence[Scores], scores: Scores, spec: DatasetSpec, config: TrainConfig
) -> str:
    return (
        f"{config.arch} on {spec.name}, {len(each)} folds and all samples together (in %)\n\n"
        f"{format_folds(each, spec)}\n\n"
        "All samples, each predicted by the fold that did not see it in training (in %)\n\n"
        + format_scores(scores, spec, arch=config.arch)
    )
