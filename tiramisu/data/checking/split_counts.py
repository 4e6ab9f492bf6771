"""Add up what was read of the samples of a split."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tiramisu.data.checking.findings import SplitReport
from tiramisu.data.checking.label_findings import count_isolated
from tiramisu.data.checking.scan import Scan
from tiramisu.data.labels import IGNORE_INDEX
from tiramisu.data.spec import DatasetSpec

_QUANTILES = (0.1, 0.5, 0.9)


def report_split(
    name: str, scans: Sequence[Scan], spec: DatasetSpec, *, value_range: tuple[float, float]
) -> SplitReport:
    """The counts of one split.

    Args:
        name: the split.
        scans: of its samples, none with a problem.
        spec: the data set.
        value_range: the values of the images that are shown as black and white.
    """
    counts = np.stack([scan.counts for scan in scans])  # (N, bins)
    labelled = counts[:, : spec.num_classes]  # (N, C)
    void = counts[:, IGNORE_INDEX] if spec.task == "segmentation" else np.zeros(len(counts))
    isolated, examined = count_isolated(scans, spec.num_classes)
    quantiles, by_pixels = _measure_objects(scans, spec.num_classes)
    low, high = value_range
    brightness, contrast = np.array(
        [(np.nan, 0) if s.facts is None else (s.facts.brightness, s.facts.contrast) for s in scans]
    ).T
    return SplitReport(
        name=name,
        num_samples=len(scans),
        sizes=tuple(sorted({scan.size for scan in scans})),
        turned=tuple(scan.name for scan in scans if scan.is_turned),
        types=tuple(sorted({scan.type for scan in scans})),
        values=(min(scan.values[0] for scan in scans), max(scan.values[1] for scan in scans)),
        class_counts=labelled.sum(axis=0),
        void_count=int(void.sum()),
        image_sizes=np.array([scan.size for scan in scans], np.int64),
        brightness=(brightness - low) / (high - low),
        contrast=contrast / (high - low),
        class_images=np.count_nonzero(labelled, axis=0),
        void_images=int(np.count_nonzero(void)),
        region_areas=quantiles,
        object_areas=by_pixels,
        isolated_shares=isolated.sum(axis=0) / np.maximum(1, examined.sum(axis=0)),
    )


def _measure_objects(
    scans: Sequence[Scan], num_classes: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Areas of the regions of each class: quantiles (C, 3), and the median by pixels (C,)."""
    areas: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(num_classes)]
    for scan in scans:
        if scan.facts is not None and scan.facts.labels is not None:
            for index, found in scan.facts.labels.areas.items():
                areas[index].append(found)
    quantiles = np.full((num_classes, len(_QUANTILES)), np.nan)
    by_pixels = np.full(num_classes, np.nan)
    for index, of_class in enumerate(areas):
        if of_class:
            every = np.sort(np.concatenate(of_class))
            quantiles[index] = np.quantile(every, _QUANTILES)
            pixels = np.cumsum(every)
            by_pixels[index] = every[np.searchsorted(pixels, pixels[-1] / 2)]
    return quantiles, by_pixels
