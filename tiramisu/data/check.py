"""Looks at every file of a data set, and says in one message all that is wrong with them."""

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from tiramisu.data.files import Pair, find_files
from tiramisu.data.labels import IGNORE_INDEX, UNKNOWN, LabelTable, read_mask
from tiramisu.data.reader import SceneReader, reading_pool
from tiramisu.data.report import DatasetReport, SplitReport
from tiramisu.data.table import DatasetSpec, DrawnSplit, FileSplit

_SHOWN = 5  # items of a long list
_ROLES = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class _Scan:
    """What one sample's files hold."""

    name: str
    problem: str = ""
    size: tuple[int, int] = (0, 0)
    digest: str = ""
    """Of the image's bytes."""
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    """int64 (256,): how often each value is in the decoded label."""
    unknown: Counter[int] = field(default_factory=Counter)
    """Pixels of each code that the label table does not name."""
    mask: str = ""


def check_dataset(
    spec: DatasetSpec, *, root: str | Path | None = None, splits: Sequence[str] | None = None
) -> DatasetReport:
    """Reads and decodes every file of some splits, and counts the labels.

    splits: those to look at; if None, train, val and test (or all, if there are none of these).
    root: as for SegmentationDataset.

    Raises ValueError with one message that lists every problem: a missing folder, images and masks
    without a partner, files that cannot be decoded to the end, sizes that differ, label values
    outside the table with their likely cause, empty splits, an image that is in two of train, val
    and test. Classes that never occur are only warnings in the report.
    """
    names = splits or [name for name in _ROLES if name in spec.splits] or list(spec.splits)
    folder = None if spec.drawn else spec.find_root(root)
    problems: list[str] = []
    jobs: dict[str, list[Callable[[], _Scan]]] = {}
    for name in names:
        split = spec.split(name)
        if isinstance(split, DrawnSplit):
            reader = SceneReader(split)
            jobs[name] = [partial(_scan_scene, reader, i) for i in range(split.count)]
        else:
            assert folder is not None
            pairs, found = _find_pairs(split, folder)
            problems += [f"{name}: {problem}" for problem in found]
            jobs[name] = [partial(_scan_files, pair, folder, spec.labels) for pair in pairs]

    scans = _run(jobs, drawn=spec.drawn)
    for name in names:
        problems += [f"{name}: {problem}" for problem in _judge(scans[name], spec)]
    problems += _find_shared_images(scans)
    if problems:
        where = "" if folder is None else f" in {folder}"
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ValueError("\n  ".join([f"{spec.name}{where}: {count}", *problems]))
    reports = tuple(_report(name, scans[name], spec) for name in names)
    return DatasetReport(
        title=spec.title,
        class_names=spec.class_names,
        splits=reports,
        warnings=tuple(_warnings(reports, spec)),
    )


def _find_pairs(split: FileSplit, root: Path) -> tuple[tuple[Pair, ...], list[str]]:
    try:
        found = find_files(split, root)
    except ValueError as error:
        return (), [str(error)]
    problems = []
    for title, items in found.unpaired.items():
        if items:
            shown = [str(i.relative_to(root) if isinstance(i, Path) else i) for i in items]
            problems.append(f"{title} ({len(items)}): {_some(shown)}")
    if not found.pairs and not problems:
        problems.append(f"empty; no file matches {' or '.join(split.images)}")
    return found.pairs, problems


def _run(jobs: dict[str, list[Callable[[], _Scan]]], *, drawn: bool) -> dict[str, list[_Scan]]:
    total = sum(map(len, jobs.values()))
    with (
        reading_pool(drawn=drawn) as pool,
        tqdm(total=total, desc="checking", disable=None, leave=False) as bar,
    ):
        scans: dict[str, list[_Scan]] = {}
        for name, split_jobs in jobs.items():
            scans[name] = []
            for scan in pool.map(_call, split_jobs, chunksize=8):
                scans[name].append(scan)
                bar.update()
        return scans


def _call(job: Callable[[], _Scan]) -> _Scan:
    return job()


def _scan_scene(reader: SceneReader, index: int) -> _Scan:
    image, label = reader.read(index)
    return _Scan(
        name=reader.names[index],
        size=label.shape,
        digest=hashlib.sha256(image.tobytes()).hexdigest(),
        pixels=np.bincount(label.ravel(), minlength=256),
    )


def _scan_files(pair: Pair, root: Path, labels: LabelTable) -> _Scan:
    image, mask = (path.relative_to(root).as_posix() for path in (pair.image, pair.mask))
    try:
        content = pair.image.read_bytes()
        # Pillow, because OpenCV returns what it could decode of a truncated file.
        with Image.open(io.BytesIO(content)) as file:
            width, height = ImageOps.exif_transpose(file).size
    except (OSError, SyntaxError, ValueError) as error:
        return _Scan(name=image, problem=f"unreadable image: {image} ({error})")
    try:
        codes = read_mask(pair.mask, labels.encoding)
    except ValueError as error:
        return _Scan(name=image, problem=str(error).rstrip("."))
    if codes.shape != (height, width):
        sizes = f"{height} x {width} and {codes.shape[0]} x {codes.shape[1]}"
        return _Scan(name=image, problem=f"image and mask differ in size: {image} ({sizes})")
    label = labels.decode(codes)
    values, counts = np.unique(codes[label == UNKNOWN], return_counts=True)
    return _Scan(
        name=image,
        mask=mask,
        size=(height, width),
        digest=hashlib.sha256(content).hexdigest(),
        pixels=np.bincount(label.ravel(), minlength=256),
        unknown=Counter(dict(zip(values.tolist(), counts.tolist(), strict=True))),
    )


def _judge(scans: list[_Scan], spec: DatasetSpec) -> Iterator[str]:
    """The problems of one split's files."""
    yield from _shorten(scan.problem for scan in scans if scan.problem)
    pixels: Counter[int] = Counter()
    masks: dict[int, list[str]] = defaultdict(list)
    for scan in scans:
        pixels += scan.unknown
        for code in scan.unknown:
            masks[code].append(scan.mask)
    if not pixels:
        return
    show = spec.labels.show
    shown = [
        f"{show(code)} ({count} pixels, {len(masks[code])} masks, first {masks[code][0]})"
        for code, count in pixels.most_common(_SHOWN)
    ]
    values = "1 label value belongs" if len(pixels) == 1 else f"{len(pixels)} label values belong"
    zeros = sum(int(scan.pixels[0]) for scan in scans)
    cause = _likely_cause(set(pixels), masks, zeros, spec)
    yield f"{values} to no class: {_some(shown, len(pixels))}. {cause}"


def _likely_cause(
    unknown: set[int], masks: dict[int, list[str]], class_0_pixels: int, spec: DatasetSpec
) -> str:
    index = spec.labels.encoding == "index"
    names = [name for code in unknown for name in masks[code]]
    if any(name.lower().endswith((".jpg", ".jpeg")) for name in names):
        return "JPEG changes label values; export the masks as PNG."
    if len(unknown) > _SHOWN:
        return "So many come from smoothed masks: resize and save masks without interpolation."
    if index and unknown == {255}:
        return "If 255 is void, add it to ignore; in masks of 0 and 255 it is a class: raw: [255]."
    if index and unknown == {spec.num_classes} and not class_0_pixels:
        return f"The masks seem to count from 1: give the classes raw: [1] to [{spec.num_classes}]."
    return "Add them to the raw values of a class, or to ignore."


def _find_shared_images(scans: dict[str, list[_Scan]]) -> Iterator[str]:
    """Images that are in two of train, val and test, by content.

    Splits of other names may overlap (trainval), but those that differ in this word only
    (night_train, night_val) may not.
    """
    homes: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    shared: dict[tuple[str, str], list[str]] = defaultdict(list)
    for split, split_scans in scans.items():
        family, _, role = split.rpartition("_")
        if role not in _ROLES:
            continue
        for scan in split_scans:
            if not scan.digest:
                continue
            for other, name in homes[family, scan.digest].items():
                same = scan.name if scan.name == name else f"{name} = {scan.name}"
                if other != split:
                    shared[other, split].append(same)
            homes[family, scan.digest].setdefault(split, scan.name)
    for (first, second), names in shared.items():
        yield f"{first} and {second} share images ({len(names)}): {_some(names)}"


def _report(name: str, scans: list[_Scan], spec: DatasetSpec) -> SplitReport:
    pixels = np.stack([scan.pixels for scan in scans]).sum(axis=0)
    return SplitReport(
        name=name,
        num_samples=len(scans),
        sizes=tuple(sorted({scan.size for scan in scans})),
        class_pixels=pixels[: spec.num_classes],
        void_pixels=int(pixels[IGNORE_INDEX]),
    )


def _warnings(reports: Iterable[SplitReport], spec: DatasetSpec) -> Iterator[str]:
    for report in reports:
        absent = [spec.class_names[i] for i in np.flatnonzero(report.class_pixels == 0)]
        if absent:
            yield f"{report.name} has no pixel of {_some(absent)}."
        if len(absent) == spec.num_classes - 1 > 0 and spec.labels.encoding == "index":
            yield "Are the masks 0 and 255? Then 255 is a class: give it raw: [255]."


def _shorten(problems: Iterable[str]) -> list[str]:
    listed = list(problems)
    more = len(listed) - _SHOWN
    return [*listed[:_SHOWN], f"... and {more} more files like these"] if more > 0 else listed


def _some(items: Sequence[str], total: int | None = None) -> str:
    more = (total or len(items)) - min(len(items), _SHOWN)
    return ", ".join(items[:_SHOWN]) + (f" ... and {more} more" if more > 0 else "")
