"""A data set's YAML file -> DatasetSpec. Every error names the file, the line and the fix."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel

from tiramisu.data.description import yaml_models as models
from tiramisu.data.description.yaml_file import Place, YamlFile
from tiramisu.data.labels import IGNORE_INDEX, MAX_CLASSES, Encoding, LabelTable
from tiramisu.data.spec import (
    CifarSplit,
    DatasetSpec,
    DrawnSplit,
    FileSplit,
    FolderSplit,
    PublishedResult,
    Source,
    Split,
    Task,
    distinct_colors,
)

_MAX_IMAGE_CLASSES = 100_000


def parse_spec(path: Path) -> DatasetSpec:
    """Read and check a data set's YAML file.

    Raises:
        ValueError: something is wrong in it; the message has the file, the line and the fix.
    """
    file = YamlFile(path)
    content = file.content if isinstance(file.content, dict) else {}
    task = content.get("task", "segmentation")
    if task not in get_args(Task):
        file.fail(("task",), f"expected {' or '.join(get_args(Task))}, not {task!r}")
    return _parse_masks(file) if task == "segmentation" else _parse_images(file)


def _parse_masks(file: YamlFile) -> DatasetSpec:
    """A data set for segmentation."""
    splits: dict[str, Split]
    about: models.MaskDescription[Any]
    if _has(file, "drawn"):
        about = file.validate(models.MaskDescription[models.DrawnSplitEntry])
        size = about.drawn.model_dump() if about.drawn else {}
        splits = {n: DrawnSplit(**s.model_dump(), **size) for n, s in about.splits.items()}
    else:
        about = file.validate(models.MaskDescription[models.FileSplitEntry])
        splits = {
            name: FileSplit(
                images=tuple(split.images),
                masks=tuple(split.masks),
                keys=tuple(split.keys),
                list_file=split.list_file,
            )
            for name, split in about.splits.items()
        }
    colors = _choose_colors(file, about.classes, most=MAX_CLASSES)
    raw = _find_codes(file, about.classes, colors, about.encoding)
    for i, row in enumerate(about.published):
        if len(row.class_iou) != len(about.classes):
            problem = f"{len(row.class_iou)} figures for {len(about.classes)} classes"
            file.fail(("published", i, "class_iou"), problem)
    ignore = about.ignore
    return DatasetSpec(
        **_common_fields(file, about),
        colors=np.array(colors, dtype=np.uint8),
        labels=LabelTable(
            encoding=about.encoding,
            raw=raw,
            ignore=ignore if ignore == "others" else _find_void(file, ignore, about.encoding, raw),
        ),
        splits=splits,
    )


def _parse_images(file: YamlFile) -> DatasetSpec:
    """A data set for classification."""
    splits: dict[str, Split]
    about: models.ImageDescription[Any]
    if _has(file, "drawn"):
        about = file.validate(models.ImageDescription[models.DrawnSplitEntry])
        side = about.drawn.size if about.drawn else 0
        splits = {
            name: DrawnSplit(**split.model_dump(), height=side, width=side)
            for name, split in about.splits.items()
        }
    elif _has(file, "torchvision"):
        about = file.validate(models.ImageDescription[models.CifarSplitEntry])
        assert about.torchvision is not None
        splits = {}
        for name, split in about.splits.items():
            start, stop = split.range or (0, None)
            splits[name] = CifarSplit(
                dataset=about.torchvision, train=split.part == "train", start=start, stop=stop
            )
    else:
        about = file.validate(models.ImageDescription[models.FolderSplitEntry])
        folders = tuple(entry.folder or entry.name for entry in about.classes)
        splits = {
            name: FolderSplit(folder=split.folder, folders=folders)
            for name, split in about.splits.items()
        }
    colors = _choose_colors(file, about.classes, most=_MAX_IMAGE_CLASSES)
    file.require_distinct(
        (("classes", i), f"the folder {entry.folder or entry.name!r}")
        for i, entry in enumerate(about.classes)
    )
    return DatasetSpec(
        **_common_fields(file, about),
        task="classification",
        colors=np.array(colors, dtype=np.uint8),
        labels=None,
        splits=splits,
        size=(about.size[0], about.size[1]) if about.size else None,
    )


def _has(file: YamlFile, key: str) -> bool:
    return isinstance(file.content, dict) and file.content.get(key) is not None


def _common_fields(file: YamlFile, about: Any) -> dict[str, Any]:
    """The fields of DatasetSpec that are the same for both tasks."""
    folder, source = file.path.parent, None
    if about.source is not None:
        checksums = folder / about.source.checksums if about.source.checksums else None
        if checksums is not None and not checksums.is_file():
            file.fail(("source", "checksums"), f"{checksums}: no such file beside the YAML")
        source = Source(**{**about.source.model_dump(), "checksums": checksums})
    return {
        "name": about.name,
        "title": about.title,
        "class_names": tuple(entry.name for entry in about.classes),
        "source": source,
        "published": tuple(map(_as_result, about.published)),
        "root": folder / Path(about.root).expanduser() if about.root else None,
    }


def _as_result(row: BaseModel) -> PublishedResult:
    fields = row.model_dump()
    return PublishedResult(**{**fields, "class_iou": tuple(fields.get("class_iou", ()))})


def _choose_colors(
    file: YamlFile, classes: Sequence[models.ClassEntry], *, most: int
) -> list[tuple[int, int, int]]:
    """The color of each class: as given, or one that differs from all others."""
    if not 1 <= len(classes) <= most:
        file.fail(("classes",), f"{len(classes)} classes; expected 1 to {most}")
    names = [entry.name for entry in classes]
    file.require_distinct((("classes", i), f"the name {name!r}") for i, name in enumerate(names))
    given = [entry.color for entry in classes]
    file.require_distinct(
        (("classes", i), f"the color {list(color)}") for i, color in enumerate(given) if color
    )
    unused = iter(distinct_colors(len(given), taken={color for color in given if color}))
    return [color or next(unused) for color in given]


def _find_codes(
    file: YamlFile,
    classes: Sequence[models.MaskClassEntry],
    colors: Sequence[tuple[int, int, int]],
    encoding: Encoding,
) -> tuple[tuple[int, ...], ...]:
    """The codes of each class; see LabelTable."""
    raw: list[tuple[int, ...]] = []
    for i, entry in enumerate(classes):
        if entry.raw is not None:
            raw.append(_codes(file, ("classes", i, "raw"), entry.raw, encoding))
        elif encoding == "index":
            raw.append((i,))
        elif entry.color is not None:
            raw.append((_pack(colors[i]),))
        else:
            file.fail(("classes", i), "with `encoding: rgb` a class needs a color: [r, g, b]")
    show = LabelTable(encoding=encoding, raw=(), ignore=()).show
    file.require_distinct(
        (("classes", i), f"the raw value {show(code)}")
        for i, codes in enumerate(raw)
        for code in codes
    )
    return tuple(raw)


def _find_void(
    file: YamlFile,
    ignore: list[Any] | None,
    encoding: Encoding,
    raw: tuple[tuple[int, ...], ...],
) -> tuple[int, ...]:
    """The codes of `ignore`; by default 255, unless it is a class."""
    class_of = {code: i for i, codes in enumerate(raw) for code in codes}
    if ignore is None:
        return (IGNORE_INDEX,) if encoding == "index" and IGNORE_INDEX not in class_of else ()
    void = _codes(file, ("ignore",), ignore, encoding)
    for j, code in enumerate(void):
        if code in class_of:
            line = file.line(("classes", class_of[code]))
            file.fail(("ignore", j), f"{ignore[j]} is also a class (line {line}); remove one")
    return void


def _codes(
    file: YamlFile, place: Place, values: Sequence[Any], encoding: Encoding
) -> tuple[int, ...]:
    """Raw values as codes: ids, or packed colors."""
    codes = []
    for j, value in enumerate(values):
        if encoding == "rgb":
            try:
                codes.append(_pack(models.check_color(value)))
            except models.EntryError as error:
                file.fail((*place, j), str(error))
        elif type(value) is not int or not 0 <= value <= 65535:
            file.fail((*place, j), f"expected an id from 0 to 65535, not {value!r}")
        else:
            codes.append(value)
    return tuple(codes)


def _pack(color: tuple[int, int, int]) -> int:
    return color[0] << 16 | color[1] << 8 | color[2]
