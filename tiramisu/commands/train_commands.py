"""The commands that train and plan."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import yaml

from tiramisu.atomic import write_file
from tiramisu.flags import PRINT_CONFIG, Parser
from tiramisu.recipes import find_recipe, read_recipe, started_by_run
from tiramisu.settings import Range
from tiramisu.terminal import quieten_libraries
from tiramisu.training.config import ClassifierTrainConfig, TrainConfig, settings_of


def train(argv: Sequence[str]) -> None:
    """Train a network for segmentation, evaluate it, and save it in the folder of the run."""
    _train("train", argv, config_type=TrainConfig, task="segmentation")


def train_classifier(argv: Sequence[str]) -> None:
    """Train a network for classification, evaluate it, and save it in the folder of the run."""
    _train("train_cls", argv, config_type=ClassifierTrainConfig, task="classification")


def folds(argv: Sequence[str]) -> None:
    """Train a network for segmentation for each fold of the data: cross-validation."""
    _train("folds", argv, config_type=TrainConfig, task="segmentation")


def folds_classifier(argv: Sequence[str]) -> None:
    """Train a classifier for each fold of the data: cross-validation."""
    _train("folds_cls", argv, config_type=ClassifierTrainConfig, task="classification")


def _train(command: str, argv: Sequence[str], *, config_type: type[TrainConfig], task: str) -> None:
    is_folds = command.startswith("folds")
    what = f"Train a network for {task}, evaluate it, and save it in the folder of the run."
    if is_folds:
        what = (
            f"Cross-validation: train and evaluate a network for {task} for each fold of the data "
            "(--folds, by default 5), one after another. Writes fold1, fold2, ... and scores over "
            "all samples into one folder, which is also a --checkpoint: the ensemble of all folds. "
            "--resume continues it."
        )
    planned = task == "segmentation"
    parser = Parser(
        command,
        description=f"{what} Without --config, settings come from the recipe "
        "configs/DATA_ARCH.yaml or configs/DATA.yaml, if there is one"
        f"{', and else from a plan, as `tiramisu plan` makes it' if planned else ''}. Flags change "
        "single settings.",
        usage="%(prog)s [--arch NAME] [--data NAME] [--data-root DIR] [options]",
    )
    parser.add_argument(
        "--config",
        type=str | None,
        default=None,
        metavar="FILE",
        help="Recipe: a YAML file, or a name in configs/",
    )
    parser.add_argument(
        PRINT_CONFIG, action="store_true", help="Print the resulting settings as YAML, and exit"
    )
    parser.add_argument("--download", action="store_true", help="Download the data set first")
    if task == "segmentation":
        _add_limits(parser)
    parser.add_config(config_type)
    values = parser.parse_flags(argv)
    limits = {name: values.pop(name, None) for name in ("minutes", "memory")}
    recipe = find_recipe(values)
    if recipe is not None:
        parser.set_defaults(read_recipe(recipe, parser))
        values = parser.parse_flags(argv)
        for name in limits:
            if values.pop(name, None) is not None and not started_by_run():
                raise ValueError(
                    f"--{name} is for data without a recipe, and {recipe} is one: leave it out and "
                    f"give --epochs, or another --data than {values['data']}"
                )
    only_flags = {name: values.pop(name) for name in ("config", "print_config", "download")}
    try:
        config = config_type(**values)
    except ValueError as error:
        start = f" (the other settings are those in {recipe})" if recipe else ""
        raise ValueError(f"{error}{start}") from None
    if only_flags["print_config"] and (recipe is not None or task != "segmentation"):
        print(yaml.safe_dump(settings_of(config), sort_keys=False), end="")
        return

    from tiramisu.models import task_of

    if (found := task_of(config.arch)) not in (task, None):
        other = command.removesuffix("_cls") if command.endswith("_cls") else f"{command}_cls"
        raise ValueError(
            f"{config.arch} is for {found}, and {command} for {task}; use `tiramisu {other}`"
        )
    if only_flags["download"]:
        from tiramisu.data.catalog import load_spec
        from tiramisu.data.downloading.download import download_dataset

        download_dataset(load_spec(config.data), config.data_root)

    if recipe is None and planned:
        from tiramisu.planning.recipe import plan_training
        from tiramisu.training.folds import check_folds

        if is_folds:
            check_folds(config)
        plan = plan_training(config, given=parser.given(argv), folds=is_folds, **limits)
        config = plan.config
        if only_flags["print_config"]:
            print(yaml.safe_dump(settings_of(config), sort_keys=False), end="")
            return
        print(f"{plan}\n")

    from tiramisu.training.folds import train_folds
    from tiramisu.training.train import train as run_training

    quieten_libraries()
    if is_folds:
        train_folds(config)
    else:
        run_training(config)


def plan(argv: Sequence[str]) -> None:
    """Plan a training: settings for data and machine, each with a reason."""
    parser = Parser(
        "plan",
        description="Look at a data set, time some steps on this machine, and print settings for a "
        "training, each with a reason. `tiramisu train` does the same for data without a recipe. "
        "Flags of `tiramisu train` that are given stay as they are.",
        usage="%(prog)s DATA [--minutes N] [--memory GIB] [--recipe FILE] [options]",
    )
    parser.add_data()
    parser.add_argument(
        "--recipe",
        type=str | None,
        default=None,
        metavar="FILE",
        help="YAML file to write, for `tiramisu train --config FILE`",
    )
    _add_limits(parser)
    parser.add_config(TrainConfig)
    values = parser.parse_flags(argv)
    limits = {name: values.pop(name) for name in ("minutes", "memory")}
    recipe = values.pop("recipe")
    if recipe is not None and Path(recipe).exists():
        raise ValueError(f"--recipe {recipe} exists already; give another file, or remove it")

    from tiramisu.planning.recipe import plan_training

    planned = plan_training(TrainConfig(**values), given=parser.given(argv), **limits)
    print(planned)
    if recipe is not None:
        write_file(Path(recipe), planned.to_yaml())
        print(f"{recipe} written; train with `tiramisu train --config {recipe}`")
    else:
        print("`tiramisu train` with the same flags follows it; --recipe FILE writes it.")


def _add_limits(parser: Parser) -> None:
    parser.add_argument(
        "--minutes",
        type=Annotated[float, Range(at_least=0.1, at_most=100_000)] | None,
        default=None,
        metavar="N",
        help="Time for a training without a recipe; by default 60 on a CPU and 10 on a GPU",
    )
    parser.add_argument(
        "--memory",
        type=Annotated[float, Range(at_least=0.1, at_most=100_000)] | None,
        default=None,
        metavar="GIB",
        help="Memory for a training without a recipe; by default half of what is free",
    )
