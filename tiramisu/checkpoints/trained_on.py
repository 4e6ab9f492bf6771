"""The data set that a model was trained on."""

import dataclasses
import logging
import os
from pathlib import Path

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model_files import find_model_file
from tiramisu.checkpoints.run_folder import read_settings
from tiramisu.data.catalog import load_spec
from tiramisu.data.config import AS_THEY_ARE, SourceOptions
from tiramisu.data.spec import DatasetSpec

log = logging.getLogger(__name__)


def find_data(
    info: ModelInfo,
    *,
    checkpoint: str | Path,
    data: str | None,
    data_root: str | None,
    options: SourceOptions = AS_THEY_ARE,
) -> tuple[str, DatasetSpec, str | None]:
    """The data set to evaluate a model on; by default the one it was trained on.

    Args:
        info: the model's.
        checkpoint: the model's file or folder; the settings of its run are read.
        data: name, YAML file or folder of a data set, or None.
        data_root: folder of the data set's files; None for the one that the run used.
        options: how data without a description are understood; what is None there is taken from
            the run, if it used the same data.

    Returns:
        Its name or path, the data set, and the folder of its files (None for the data set's own).

    Raises:
        ValueError: there is no such data set, or it has another task or other classes.
    """
    trained_with = read_settings(find_model_file(checkpoint))
    data = data or trained_with.get("data", info.dataset)
    same_data = data in (trained_with.get("data"), info.dataset) or (
        "data" in trained_with and os.path.realpath(data) == os.path.realpath(trained_with["data"])
    )
    if same_data:
        saved = {f.name: trained_with.get(f.name) for f in dataclasses.fields(SourceOptions)}
        given = {name: getattr(options, name) for name in saved}
        if options.val_fraction not in (None, saved["val_fraction"]):
            log.warning(
                "--val-fraction is %s, and the model was trained with %s: some of the samples that "
                "are evaluated may be those it has learnt",
                options.val_fraction,
                saved["val_fraction"],
            )
        options = SourceOptions(**{n: saved[n] if v is None else v for n, v in given.items()})
    spec = load_spec(data, options)
    _check_classes(info, spec, data)
    return data, spec, data_root or (trained_with.get("data_root") if same_data else None)


def _check_classes(info: ModelInfo, spec: DatasetSpec, data: str) -> None:
    if info.task != spec.task:
        raise ValueError(
            f"the model ({info.arch}) is for {info.task}, the data set {data} for "
            f"{spec.task}: evaluate it on the data set it was trained for"
        )
    if info.class_names != spec.class_names:
        raise ValueError(
            f"the model has the classes {', '.join(info.class_names)}, the data set {data} "
            f"has {', '.join(spec.class_names)}: evaluate it on the data set it was trained for"
        )
