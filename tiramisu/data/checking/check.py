"""Check every file of a data set and list all problems in one message."""

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path

import numpy as np

from tiramisu.data.checking.findings import DatasetReport, Finding, SplitReport
from tiramisu.data.checking.image_findings import find_in_images, pick_compared
from tiramisu.data.checking.label_findings import find_in_labels
from tiramisu.data.checking.scan import ROLES, SHOWN, Job, Scan, plan_scans
from tiramisu.data.checking.split_counts import report_split
from tiramisu.data.image_format import RGB, ImageFormat, describe_bands
from tiramisu.data.readers.reader import Pool, format_of_files, reading_pool
from tiramisu.data.readers.size_limit import most_megapixels
from tiramisu.data.scaling import TYPE_RANGES, choose_scaling, describe_scaling, usual_scaling
from tiramisu.data.spec import DatasetSpec
from tiramisu.progress import track
from tiramisu.text import list_some

_MOST_FILES = 100  # damaged files of a split that are listed one by one


def check_dataset(
    spec: DatasetSpec,
    *,
    root: str | Path | None = None,
    splits: Sequence[str] | None = None,
    pool: Pool | None = None,
) -> DatasetReport:
    """Read and decode every file of some splits, and count the labels.

    The files of CIFAR are checked against their MD5 by torchvision. Classes that never occur are
    only warnings in the report, and what is conspicuous about images and masks are findings.

    Args:
        spec: the data set.
        root: folder of the files, as for `ImageDataset`.
        splits: names of the splits; None for train, val and test, or for all if there are none of
            these.
        pool: reads the samples; None for a pool of this machine.

    Raises:
        ValueError: there are problems; one message lists all of them. They are a missing folder,
            images and masks without a partner, folders that are not a class, damaged files,
            images and masks of different sizes, label values outside the table with their likely
            cause, empty splits, and images that are in two of train, val and test.
    """
    most_megapixels()  # a wrong limit is one error, and not one for each file
    names = splits or [name for name in ROLES if name in spec.splits] or list(spec.splits)
    folder = None if spec.drawn else spec.find_root(root)
    problems: list[str] = []
    jobs: dict[str, Sequence[Job]] = {}
    images: list[Path] = []
    for name in names:
        planned = plan_scans(spec, name, folder)
        jobs[name] = planned.jobs
        images += planned.images
        problems += [f"{name}: {problem}" for problem in planned.problems]
    format: ImageFormat | None = RGB
    try:
        format = format_of_files(images, spec, most=None) if images else RGB
    except ValueError as error:
        format = None
        problems.append(str(error))

    opened: AbstractContextManager[Pool]
    opened = nullcontext(pool) if pool else reading_pool(drawn=spec.drawn is not None)
    with opened as reading:
        scans = _run(jobs, reading, format=format)
    for name in names:
        problems += [f"{name}: {problem}" for problem in _find_problems(scans[name], spec)]
    problems += _find_shared_images(scans)
    if problems:
        where = "" if folder is None else f" in {folder}"
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ValueError("\n  ".join([f"{spec.name}{where}: {count}", *problems]))
    assert format is not None, "without one there is a problem"
    value_range = _find_range(scans, format)
    reports = tuple(
        report_split(name, scans[name], spec, value_range=value_range) for name in names
    )
    return DatasetReport(
        title=spec.title,
        task=spec.task,
        class_names=spec.class_names,
        splits=reports,
        bands=describe_bands(format),
        scaling=_describe_scaling(format, spec),
        warnings=(*_warnings(reports, spec), *(() if splits else _training_problems(spec))),
        notes=spec.notes,
        findings=_find_conspicuous(scans, reports, spec),
    )


def _run(
    jobs: dict[str, Sequence[Job]], pool: Pool, *, format: ImageFormat | None
) -> dict[str, list[Scan]]:
    every = [job for split_jobs in jobs.values() for job in split_jobs]
    scan = functools.partial(_call, format=format)
    scans = pool.map(scan, every, pick_compared(len(every)), chunksize=8)
    scans = track(scans, doing="checking", unit="samples", total=len(every))
    return {name: list(islice(scans, len(split_jobs))) for name, split_jobs in jobs.items()}


def _call(job: Job, with_fingerprint: bool, *, format: ImageFormat | None) -> Scan:
    return job(format, with_fingerprint)


def _find_problems(scans: list[Scan], spec: DatasetSpec) -> Iterator[str]:
    """The problems of the files of one split."""
    yield from _shorten(scan.problem for scan in scans if scan.problem)
    labels = spec.labels
    if labels is None:
        return
    pixels: Counter[int] = Counter()
    masks: dict[int, list[str]] = defaultdict(list)
    for scan in scans:
        pixels += scan.unknown
        for code in scan.unknown:
            masks[code].append(scan.mask)
    if not pixels:
        return
    show = labels.show
    shown = [
        f"{show(code)} ({count} pixels, masks: {len(masks[code])}, first {masks[code][0]})"
        for code, count in pixels.most_common()
    ]
    values = "1 label value belongs" if len(pixels) == 1 else f"{len(pixels)} label values belong"
    zeros = sum(int(scan.counts[0]) for scan in scans)
    cause = _likely_cause(
        set(pixels), masks, zeros, num_classes=spec.num_classes, index=labels.encoding == "index"
    )
    yield f"{values} to no class: {list_some(shown, most=SHOWN)}. {cause}"


def _likely_cause(
    unknown: set[int],
    masks: dict[int, list[str]],
    class_0_pixels: int,
    *,
    num_classes: int,
    index: bool,
) -> str:
    names = [name for code in unknown for name in masks[code]]
    if any(name.lower().endswith((".jpg", ".jpeg")) for name in names):
        return "JPEG changes label values; export the masks as PNG"
    if len(unknown) > SHOWN:
        return (
            "So many values come from smoothed masks; resize and save masks without interpolation"
        )
    if index and unknown == {255}:
        return "If 255 is void, add it to ignore; in masks of 0 and 255 it is a class: raw: [255]"
    if index and unknown == {num_classes} and not class_0_pixels:
        return f"The class indices seem to start at 1; give the classes raw: [1] to [{num_classes}]"
    return (
        "Give them to a class (`raw` in the YAML, a line in the classes.txt of a folder), or make "
        "them void (`ignore` in the YAML, 255 in the masks of a folder)"
    )


def _find_shared_images(scans: dict[str, list[Scan]]) -> Iterator[str]:
    """Images that are in two of train, val and test, by content.

    Splits with other names, such as trainval, may overlap. Names with a prefix are compared with
    each other: night_train and night_val may not share images.
    """
    homes: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    shared: dict[tuple[str, str], list[str]] = defaultdict(list)
    for split, split_scans in scans.items():
        family, _, role = split.rpartition("_")
        if role not in ROLES:
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
        yield f"{first} and {second} share images ({len(names)}): {list_some(names, most=SHOWN)}"


def _describe_scaling(format: ImageFormat, spec: DatasetSpec) -> str:
    how = usual_scaling(spec.scaling, format)
    if how == "statistics":
        return "by statistics that are measured on the training split"
    return describe_scaling(choose_scaling(how, format, []))


def _find_range(scans: Mapping[str, Sequence[Scan]], format: ImageFormat) -> tuple[float, float]:
    """The values that are shown as black and white."""
    if format.pixel_type == "uint8":
        return TYPE_RANGES["uint8"]
    facts = [scan.facts for split in scans.values() for scan in split if scan.facts is not None]
    lows = [fact.low for fact in facts if math.isfinite(fact.low)]
    highs = [fact.high for fact in facts if math.isfinite(fact.high)]
    return (min(lows), max(highs)) if lows and min(lows) < max(highs) else (0.0, 1.0)


def _find_conspicuous(
    scans: Mapping[str, Sequence[Scan]], reports: Sequence[SplitReport], spec: DatasetSpec
) -> tuple[Finding, ...]:
    findings = list(find_in_images(scans, reports))
    if spec.task == "segmentation":
        findings += find_in_labels(scans, reports, spec)
    return tuple(sorted(findings, key=lambda finding: not finding.is_warning))


def _warnings(reports: Iterable[SplitReport], spec: DatasetSpec) -> Iterator[str]:
    for report in reports:
        absent = [spec.class_names[i] for i in np.flatnonzero(report.class_counts == 0)]
        if absent:
            what = "pixel" if spec.labels else "image"
            yield f"{report.name} has no {what} of {list_some(absent, most=SHOWN)}"
        one = len(absent) == spec.num_classes - 1
        if one and spec.labels and spec.labels.encoding == "index":
            yield "if the masks hold 0 and 255, then 255 is a class; give it raw: [255]"
        if report.turned:
            photos = f"{len(report.turned)} ({list_some(report.turned, most=SHOWN)})"
            yield (
                f"{report.name} has photos that EXIF turns, but not masks: {photos}; see that "
                "both fit, or take the orientation out of the photos"
            )
        if spec.task == "classification" and spec.size is None and len(report.sizes) > 1:
            yield (
                f"{report.name} has images of {len(report.sizes)} sizes; give the data set a "
                "size: [height, width], or a crop for training and batch size 1 for evaluation"
            )


def _training_problems(spec: DatasetSpec) -> Iterator[str]:
    """Why a data set without problems can still not be used for training."""
    missing = [name for name in ROLES[:2] if name not in spec.splits]
    if missing:
        yield (
            f"there is no split {' and no '.join(missing)}; training needs both, or "
            "others given by --train-split and --val-split"
        )


def _shorten(problems: Iterable[str]) -> list[str]:
    listed = list(problems)
    more = len(listed) - _MOST_FILES
    return [*listed[:_MOST_FILES], f"... and {more} more"] if more > 0 else listed
