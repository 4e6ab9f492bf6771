"""The data set that a model was trained on."""

import dataclasses
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model_files import find_model_file, list_members
from tiramisu.checkpoints.run_folder import find_split_file, read_settings
from tiramisu.data.catalog import load_spec
from tiramisu.data.config import SPLIT_OPTIONS, SourceOptions
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.splitting.split_record import read_record

log = logging.getLogger(__name__)


def find_data(
    info: ModelInfo,
    *,
    checkpoint: str | Path,
    data: str | None,
    data_root: str | None,
    options: SourceOptions | None = None,
) -> tuple[str, DatasetSpec, str | None]:
    """The data set to evaluate a model on; by default the one it was trained on.

    Args:
        info: the model's.
        checkpoint: the model's file or folder; the settings of its run are read, those of the
            first of an ensemble.
        data: name, YAML file or folder of a data set, or None.
        data_root: folder of the data set's files; None for the one that the run used.
        options: how data without a description are understood and split. What is None there is
            taken from the run, if it used the same data; so are the samples of its split.

    Returns:
        Its name or path, the data set, and the folder of its files (None for the data set's own).

    Raises:
        ValueError: there is no such data set, or it has another task or other classes.
    """
    members = [find_model_file(member) for member in list_members(checkpoint)]
    file = members[0]
    trained_with = read_settings(file)
    data = data or trained_with.get("data", info.dataset)
    same_data = data in (trained_with.get("data"), info.dataset) or (
        "data" in trained_with and os.path.realpath(data) == os.path.realpath(trained_with["data"])
    )
    root = data_root or (trained_with.get("data_root") if same_data else None)
    given = {
        f.name: getattr(options or SourceOptions(), f.name)
        for f in dataclasses.fields(SourceOptions)
    }
    split_file = None
    if same_data:
        other = [n for n in SPLIT_OPTIONS if given[n] not in (None, trained_with.get(n))]
        if other:
            log.warning(
                "--%s is %s, and the model was trained with another split: some of the samples "
                "that are evaluated may be those it has learnt",
                other[0].replace("_", "-"),
                given[other[0]],
            )
            kept = [name for name in given if name not in SPLIT_OPTIONS]
        else:
            split_file = find_split_file(file)
            warn_of_other_splits(members)
            kept = list(given)
        given |= {n: trained_with.get(n) for n in kept if given[n] is None}
    # Of other data all samples are evaluated, unless the options ask for a split.
    spec = load_spec(data, SourceOptions(**given), root=root, split_file=split_file)
    _check_classes(info, spec, data)
    return data, spec, root


def warn_of_other_splits(members: Sequence[Path]) -> None:
    """Say that some of several models have learnt what others are evaluated on.

    Args:
        members: their files.
    """
    files = [find_split_file(member) for member in members]
    vals = [None if file is None else sorted(read_record(file).val) for file in files]
    others = [member for member, val in zip(members, vals, strict=True) if val != vals[0]]
    if others:
        log.warning(
            "%s and %s were trained with different splits: samples that are evaluated are those "
            "that one of them has learnt, so the scores are too good; of folds, see scores/ beside "
            "them",
            members[0].parent,
            others[0].parent,
        )


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
