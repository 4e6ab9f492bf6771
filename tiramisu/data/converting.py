"""Write a data set as a folder: images, masks, the list of the classes and a YAML file."""

import os
import secrets
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from tiramisu.atomic import DISK_ERRORS, PARTIAL, WriteError, make_folder
from tiramisu.data.annotations.annotated_files import find_annotated
from tiramisu.data.annotations.labelme import read_embedded
from tiramisu.data.entry import name_of_folder
from tiramisu.data.labels import IGNORE_INDEX
from tiramisu.data.readers.file_split import Pair
from tiramisu.data.readers.image_file import IMAGE_SUFFIXES
from tiramisu.data.readers.pixel_samples import explain_no_sample, find_samples
from tiramisu.data.readers.reader import Pool, label_of, reading_pool
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.spec_parts import AnnotatedSplit, FileSplit
from tiramisu.data.task_specs import SegmentationSpec
from tiramisu.progress import track
from tiramisu.text import list_some, show_path

_VOID_COLOR = (224, 224, 192)  # as in the masks of PASCAL VOC
_PARTS = ("images", "masks")


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One sample, and the names of what is written for it."""

    pair: Pair
    image: str
    mask: str


def convert_dataset(
    spec: DatasetSpec,
    out: Path,
    *,
    root: str | Path | None = None,
    overwrite: bool = False,
    pool: Pool | None = None,
) -> int:
    """Write a data set for segmentation as a folder that needs no description.

    It gets images/SPLIT and masks/SPLIT, where an image and its mask have the same name,
    classes.txt and NAME.yaml. Images are copied as they are; those that are only inside LabelMe's
    files are written out. Masks are PNG with a palette of the colors of the classes; void is 255.
    The folder appears when it is complete.

    Args:
        spec: the data set.
        out: the folder to write.
        root: folder of the files; None for the spec's own, or data/<name>.
        overwrite: whether to replace what an earlier conversion wrote there.
        pool: reads and writes the samples; None for a pool of this machine.

    Returns:
        The number of samples.

    Raises:
        ValueError, OSError: the data set has a mistake, or the folder cannot be written; the
            message says what to do.
    """
    if not isinstance(spec, SegmentationSpec) or spec.drawn is not None:
        raise ValueError(
            f"{spec.name}: expected a data set for segmentation with image files; "
            "there are no masks to write"
        )
    source = spec.find_root(root)
    _check_place(out, source, overwrite=overwrite)
    jobs = {name: _plan(spec, name, source) for name in spec.splits}
    make_folder(out.parent, flag="DST")
    partial_folder = out.with_name(f".{secrets.token_hex(6)}{PARTIAL}")
    try:
        for name, split_jobs in jobs.items():
            for part in _PARTS:
                (partial_folder / part / name).mkdir(parents=True)
            write = partial(_write, spec=spec, folder=partial_folder, split=name)
            opened: AbstractContextManager[Pool]
            opened = nullcontext(pool) if pool else reading_pool(drawn=False)
            with opened as writing:
                written = writing.map(write, split_jobs)
                list(track(written, doing=name, unit="samples", total=len(split_jobs)))
        _describe(spec, jobs, partial_folder, name=name_of_folder(out))
        _move(partial_folder, out)
    except OSError as error:
        if partial_folder.name in str(error.filename) or error.errno in DISK_ERRORS:
            raise WriteError(out, error.strerror or error) from error
        raise
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)
    return sum(map(len, jobs.values()))


def _check_place(out: Path, source: Path, *, overwrite: bool) -> None:
    here, there = out.resolve(), source.resolve()
    if here == there or here in there.parents:
        raise ValueError(
            f"{show_path(out)} is the folder of the data set itself, or around it; give another DST"
        )
    if not os.path.lexists(out):
        return
    if not overwrite:
        raise ValueError(
            f"{show_path(out)} exists already; give --overwrite, or another folder as DST"
        )
    if not out.is_dir():
        raise ValueError(f"{show_path(out)} is no folder; give another DST")
    own = {*_PARTS, "classes.txt", f"{name_of_folder(out)}.yaml"}
    others = sorted(path.name for path in out.iterdir() if path.name not in own)
    if others:
        raise ValueError(
            f"{show_path(out)} has files that no conversion wrote ({list_some(others, most=3)}), "
            "which --overwrite would remove; move them away, or give another folder as DST"
        )


def _plan(spec: SegmentationSpec, name: str, root: Path) -> list[_Job]:
    split = spec.split(name)
    assert isinstance(split, FileSplit | AnnotatedSplit)
    if isinstance(split, AnnotatedSplit):
        found = find_annotated(split, root, spec, embedded=True)
    else:
        found = find_samples(spec, name, root)
    for problem, items in found.unpaired.items():
        if items:
            raise ValueError(
                f"{root}: split {name} has {problem} ({len(items)}, the first is {items[0]}); "
                "`tiramisu check` lists them all"
            )
    if not found.pairs:
        raise ValueError(f"{root}: split {name} is empty: {explain_no_sample(split, root)}")
    stems = [pair.key.replace("/", "_").replace("\\", "_") for pair in found.pairs]
    counts = Counter(stem.lower() for stem in stems)  # some file systems do not tell A from a
    if any(count > 1 for count in counts.values()):
        stems = [f"{number:06d}_{stem}" for number, stem in enumerate(stems)]
    return [
        _Job(pair=pair, image=f"{stem}{_suffix(pair.image)}", mask=f"{stem}.png")
        for pair, stem in zip(found.pairs, stems, strict=True)
    ]


def _suffix(image: Path) -> str:
    return image.suffix if image.suffix.lower() in IMAGE_SUFFIXES else ".png"


def _write(job: _Job, *, spec: SegmentationSpec, folder: Path, split: str) -> None:
    pair = job.pair
    image = folder / "images" / split / job.image
    if pair.drawing is not None and pair.drawing.annotated.embedded:
        image.write_bytes(read_embedded(pair.drawing.annotated.origin))
    else:
        shutil.copyfile(pair.image, image)
    mask = Image.fromarray(label_of(pair, spec.labels))
    mask.putpalette(_palette(spec))
    mask.save(folder / "masks" / split / job.mask)


def _palette(spec: SegmentationSpec) -> bytes:
    palette = np.zeros((256, 3), np.uint8)
    palette[: spec.num_classes] = spec.colors
    palette[IGNORE_INDEX] = _VOID_COLOR
    return palette.tobytes()


def _describe(
    spec: SegmentationSpec, jobs: dict[str, list[_Job]], folder: Path, *, name: str
) -> None:
    colors = spec.colors.tolist()
    content = {
        "name": name,
        "title": spec.title,
        "root": ".",
        **({} if spec.bands is None else {"bands": _as_yaml(spec.bands)}),
        **({} if spec.scaling is None else {"scaling": _as_yaml(spec.scaling)}),
        "classes": [
            {"name": entry.name, "color": color}
            for entry, color in zip(spec.classes, colors, strict=True)
        ],
        "splits": {
            split: {
                "images": _pattern(split, split_jobs),
                "masks": f"masks/{split}/*.png",
            }
            for split, split_jobs in jobs.items()
        },
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    names = "".join(f"{entry.name}\n" for entry in spec.classes)
    (folder / "classes.txt").write_text(names, encoding="utf-8")


def _as_yaml(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _pattern(split: str, jobs: Sequence[_Job]) -> str:
    """One pattern for all endings of the images of a split."""
    suffixes = sorted({Path(job.image).suffix[1:] for job in jobs})
    ending = suffixes[0] if len(suffixes) == 1 else f"{{{','.join(suffixes)}}}"
    return f"images/{split}/*.{ending}"


def _move(partial_folder: Path, out: Path) -> None:
    """Give the complete folder its name; what was there goes."""
    old = out.with_name(f".{secrets.token_hex(6)}{PARTIAL}")
    if out.exists():
        out.rename(old)
    partial_folder.rename(out)
    shutil.rmtree(old, ignore_errors=True)
