"""What is conspicuous about the masks of a data set."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tiramisu.data.checking.findings import Finding, SplitReport, show_percent
from tiramisu.data.checking.image_findings import SHOWN, pick_examples, some_are
from tiramisu.data.checking.mask_shift import Shift, find_shifts
from tiramisu.data.checking.scan import ROLES, Scan
from tiramisu.data.spec import DatasetSpec
from tiramisu.text import list_some

# CamVid has 0.03 % of its pixels in such regions, drawn streets 0.14 %; of one class 0.8 and 0.9 %.
_NOISY = 0.003  # share of isolated pixels
_NOISY_CLASS = 0.03  # of a class
_NOISY_PIXELS = 200  # that such a class has at least
_NOISY_MASK = 0.01  # of a single mask
_RARE = 0.01  # share of the pixels of a class
_FEW_IMAGES = 2  # with a class
_MANY_IMAGES = 10  # of a split, in which such a class is rare
_CLASSES = 5  # that a text names


def find_in_labels(
    scans: Mapping[str, Sequence[Scan]], reports: Sequence[SplitReport], spec: DatasetSpec
) -> Iterator[Finding]:
    """Find what is conspicuous about the masks.

    Args:
        scans: of each split.
        reports: of the same splits.
        spec: the data set, for segmentation.
    """
    for report in reports:
        found = scans[report.name]
        yield from _find_shifted(report.name, found)
        yield from _find_void(report.name, found, spec.num_classes)
        yield from _find_equal_masks(report.name, found, spec.num_classes)
        yield from _find_isolated(report, found, spec)
        yield from _find_single_class(report.name, found, spec)
        if report.name.rpartition("_")[2] == ROLES[0]:
            yield from _find_rare(report, found, spec)


def _find_shifted(split: str, scans: Sequence[Scan]) -> Iterator[Finding]:
    labels = [None if scan.facts is None else scan.facts.labels for scan in scans]
    shifts = find_shifts([None if facts is None else facts.agreement for facts in labels])
    if not shifts:
        return
    first = shifts[0]
    if first.is_common:
        yield Finding(
            title="shifted masks",
            text=f"{split}: the masks lie {_describe(first)} of what they should cover "
            f"({len(first.masks)} of {len(scans)} agree)",
            suggestion="move them back, or look for the step that crops, pads or resizes images "
            "and masks differently",
            examples=pick_examples(split, scans, first.masks),
            is_warning=True,
            is_close_up=True,
        )
        return
    notes = [_describe(shift) for shift in shifts]
    yield Finding(
        title="masks that do not fit",
        text=f"{split}: {some_are(len(shifts), len(scans), 'masks')} probably beside what should "
        "be covered, unlike the others",
        suggestion="look at them: they may be shifted, or belong to other images",
        examples=pick_examples(split, scans, [shift.masks[0] for shift in shifts], notes),
        is_warning=True,
        is_close_up=True,
    )


def _describe(shift: Shift) -> str:
    """A shift in words: `4 pixels below and 2 pixels left`."""
    parts = [
        (abs(shift.down), "below" if shift.down > 0 else "above"),
        (abs(shift.right), "right" if shift.right > 0 else "left"),
    ]
    return " and ".join(
        f"{pixels} {'pixel' if pixels == 1 else 'pixels'} {word}"
        for pixels, word in parts
        if pixels
    )


def _find_void(split: str, scans: Sequence[Scan], num_classes: int) -> Iterator[Finding]:
    void = [i for i, scan in enumerate(scans) if not scan.counts[:num_classes].any()]
    if void:
        yield Finding(
            title="images without labels",
            text=f"{split}: {some_are(len(void), len(scans), 'masks')} void everywhere",
            suggestion="label these images, or remove them: nothing is learnt from them",
            examples=pick_examples(split, scans, void),
            is_warning=True,
        )


def _find_equal_masks(split: str, scans: Sequence[Scan], num_classes: int) -> Iterator[Finding]:
    groups: dict[tuple[tuple[int, int], str], list[int]] = defaultdict(list)
    for i, scan in enumerate(scans):
        has_shape = np.count_nonzero(scan.counts[:num_classes]) > 1
        if has_shape and scan.facts is not None and scan.facts.labels is not None:
            groups[scan.size, scan.facts.labels.digest].append(i)
    equal = [group for group in groups.values() if len({scans[i].digest for i in group}) > 1]
    if not equal:
        return
    equal.sort(key=len, reverse=True)
    examples = []
    for group in equal[:SHOWN]:
        first, *_ = group
        second = next(i for i in group if scans[i].digest != scans[first].digest)
        [example], [other] = (pick_examples(split, scans, [i]) for i in (first, second))
        examples.append(dataclasses.replace(example, other=other))
    number = sum(len(group) for group in equal)
    yield Finding(
        title="equal masks",
        text=f"{split}: {number} images share their masks, pixel by pixel, with other images",
        suggestion="see which image each mask belongs to: masks may have been saved under wrong "
        "names",
        examples=tuple(examples),
        about="labels",
        is_warning=True,
    )


def _find_isolated(
    report: SplitReport, scans: Sequence[Scan], spec: DatasetSpec
) -> Iterator[Finding]:
    isolated, examined = count_isolated(scans, spec.num_classes)  # (N, C)
    share = isolated.sum() / max(1, examined.sum())
    noisy = np.flatnonzero(
        (report.isolated_shares > _NOISY_CLASS) & (isolated.sum(axis=0) >= _NOISY_PIXELS)
    )
    noisy = noisy[np.argsort(-report.isolated_shares[noisy], kind="stable")]
    of_masks = isolated.sum(axis=1) / np.maximum(1, examined.sum(axis=1))
    worst = np.argsort(-of_masks, kind="stable")
    if share <= _NOISY and not len(noisy):
        worst = worst[of_masks[worst] > _NOISY_MASK]
        if not len(worst):
            return
        text = f"{report.name}: {some_are(len(worst), len(scans), 'masks')} full of isolated "
        text += "pixels (connected regions of 1 to 4 pixels)"
    else:
        text = f"{report.name}: {100 * share:.1f} % of the labelled pixels are isolated "
        text += "(connected regions of 1 to 4 pixels)"
        if len(noisy):
            shares = [
                f"{spec.class_names[i]} {100 * report.isolated_shares[i]:.0f} %" for i in noisy
            ]
            text += f"; of {list_some(shares, most=_CLASSES)}"
        worst = worst[of_masks[worst] > 0]
    yield Finding(
        title="isolated pixels",
        text=text,
        suggestion="remove such specks from the masks, as by a median filter; resize masks without "
        "interpolation, and do not save them as JPEG",
        examples=pick_examples(
            report.name, scans, worst, [f"{100 * of_masks[i]:.1f} %" for i in worst[:SHOWN]]
        ),
        is_close_up=True,
    )


def count_isolated(
    scans: Sequence[Scan], num_classes: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Isolated pixels of each class, and pixels among which they were searched: int64 (N, C)."""
    isolated, examined = np.zeros((2, len(scans), num_classes), np.int64)
    for i, scan in enumerate(scans):
        if scan.facts is not None and scan.facts.labels is not None:
            isolated[i] = scan.facts.labels.isolated
            examined[i] = scan.facts.labels.examined
    return isolated, examined


def _find_single_class(split: str, scans: Sequence[Scan], spec: DatasetSpec) -> Iterator[Finding]:
    single: dict[int, list[int]] = defaultdict(list)
    for i, scan in enumerate(scans):
        present = np.flatnonzero(scan.counts[: spec.num_classes])
        if len(present) == 1:
            single[int(present[0])].append(i)
    for index, found in sorted(single.items(), key=lambda item: -len(item[1]))[:_CLASSES]:
        name = spec.class_names[index]
        yield Finding(
            title=f"images of {name} alone",
            text=f"{split}: {some_are(len(found), len(scans), 'masks')} {name} alone",
            suggestion="this is right if there is nothing else to see; otherwise labels are "
            "missing",
            examples=pick_examples(split, scans, found),
        )


def _find_rare(report: SplitReport, scans: Sequence[Scan], spec: DatasetSpec) -> Iterator[Finding]:
    """Classes that a network sees seldom in training."""
    names = spec.class_names
    few = np.flatnonzero((report.class_images > 0) & (report.class_images <= _FEW_IMAGES))
    if report.num_samples >= _MANY_IMAGES and len(few):
        listed = [f"{names[i]} ({report.class_images[i]})" for i in few]
        seen = [k for k, scan in enumerate(scans) if scan.counts[few].any()]
        yield Finding(
            title="classes in few images",
            text=f"{report.name} has hardly any images of {list_some(listed, most=_CLASSES)}",
            suggestion="label more images of them, or merge them with other classes",
            examples=pick_examples(report.name, scans, seen),
        )
    rare = np.flatnonzero((report.class_counts > 0) & (report.class_shares < _RARE))
    rare = rare[np.argsort(report.class_shares[rare], kind="stable")]
    if len(rare):
        listed = [f"{names[i]} {show_percent(report.class_shares[i])} %" for i in rare]
        yield Finding(
            title="rare classes",
            text=f"{report.name}: some classes are rare: {list_some(listed, most=_CLASSES)}",
            suggestion="if their scores matter, train with --loss cross_entropy+dice",
        )
