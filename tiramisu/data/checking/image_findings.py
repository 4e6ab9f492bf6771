"""What is conspicuous about the images of a data set: brightness, and repeated images."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tiramisu.data.checking.findings import Example, Finding, SplitReport
from tiramisu.data.checking.scan import ROLES, Scan
from tiramisu.data.near_duplicates import find_near_duplicates

SHOWN = 6  # examples of a finding that are kept
# A photo by night is 0.2 to 0.3 darker than one by day.
_FAR = 0.2  # least difference in brightness, 0 to 1
_FAR_SPREADS = 4.0  # and in robust standard deviations
_FEW = 8  # images among which one can stand out
_FLAT = 0.01  # contrast of an image of one colour
_SHIFTED_MEAN = 0.08  # least difference in mean brightness between splits
_MOST_COMPARED = 4000  # images: all pairs of them are compared, and all fingerprints are kept


def find_in_images(
    scans: Mapping[str, Sequence[Scan]], reports: Sequence[SplitReport]
) -> Iterator[Finding]:
    """Find what is conspicuous about the images.

    Args:
        scans: of each split.
        reports: of the same splits.
    """
    yield from _find_repeated(scans)
    for report in reports:
        yield from _find_flat(report, scans[report.name])
    yield from _find_dark_and_bright(reports, scans)
    yield from _compare_brightness(reports)


def pick_examples(
    split: str,
    scans: Sequence[Scan],
    indices: Sequence[int] | npt.NDArray[np.int64],
    notes: Sequence[str] = (),
) -> tuple[Example, ...]:
    """The first few of some samples, with what is special about each."""
    return tuple(
        Example(
            split=split,
            index=int(index),
            name=scans[index].name,
            note=notes[place] if notes else "",
        )
        for place, index in enumerate(indices[:SHOWN])
    )


def some_are(number: int, total: int, what: str) -> str:
    """`1 of 5 images is`, `3 of 5 images are`."""
    return f"{number} of {total} {what} {'is' if number == 1 else 'are'}"


def pick_compared(number: int) -> list[bool]:
    """Which of all images are compared with each other: all, or some at even distances."""
    picked = np.zeros(number, np.bool_)
    picked[np.linspace(0, max(0, number - 1), min(number, _MOST_COMPARED)).astype(np.int64)] = True
    return [bool(is_picked) for is_picked in picked]


def _find_repeated(scans: Mapping[str, Sequence[Scan]]) -> Iterator[Finding]:
    """Near-duplicates between train, val and test of one family, and within train."""
    families: dict[str, list[str]] = defaultdict(list)
    for name in scans:
        family, _, role = name.rpartition("_")
        if role in ROLES:
            families[family].append(name)
    for names in families.values():
        yield from _find_repeated_in_family({name: scans[name] for name in names})


def _find_repeated_in_family(scans: Mapping[str, Sequence[Scan]]) -> Iterator[Finding]:
    places = [
        (split, i)
        for split, split_scans in scans.items()
        for i, scan in enumerate(split_scans)
        if scan.facts is not None and scan.facts.fingerprint is not None
    ]
    if len(places) < 2:
        return
    total = sum(map(len, scans.values()))
    among = "" if len(places) == total else f" (compared: {len(places)} of {total} images)"
    prints = [facts.fingerprint for s, i in places if (facts := scans[s][i].facts) is not None]
    pairs = find_near_duplicates(np.stack([found for found in prints if found is not None]))
    between: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for a, b in pairs:
        (first, i), (second, j) = places[a], places[b]
        between[first, second].append((i, j))
    for (first, second), found in between.items():
        if first == second:
            if first.rpartition("_")[2] != ROLES[0]:
                continue
            repeated = sorted({index for pair in found for index in pair})
            yield Finding(
                title="near-duplicates within a split",
                text=f"{first}: {some_are(len(repeated), len(scans[first]), 'images')} nearly the "
                f"same as another one{among}",
                suggestion="they add little to a training; keep those that are alike in one split",
                examples=_pair_examples((first, first), found, scans),
            )
            continue
        repeated = sorted({j for _, j in found})
        yield Finding(
            title="near-duplicates between splits",
            text=f"{second}: {some_are(len(repeated), len(scans[second]), 'images')} nearly the "
            f"same as one of {first}{among}",
            suggestion=f"the scores on {second} are too good: keep images of one scene, video or "
            "patient in one split (--groups, where the tool makes the split)",
            examples=_pair_examples((first, second), found, scans),
            is_warning=True,
        )


def _pair_examples(
    splits: tuple[str, str],
    pairs: Sequence[tuple[int, int]],
    scans: Mapping[str, Sequence[Scan]],
) -> tuple[Example, ...]:
    """Some pairs, each second image once."""
    first, second = splits
    partner_of: dict[int, int] = {}
    for i, j in pairs:
        partner_of.setdefault(j, i)
    return tuple(
        Example(
            split=second,
            index=j,
            name=scans[second][j].name,
            other=Example(split=first, index=i, name=scans[first][i].name),
        )
        for j, i in list(partner_of.items())[:SHOWN]
    )


def _find_flat(report: SplitReport, scans: Sequence[Scan]) -> Iterator[Finding]:
    flat = np.flatnonzero(report.contrast < _FLAT)
    if len(flat):
        yield Finding(
            title="images of one colour",
            text=f"{report.name}: {some_are(len(flat), report.num_samples, 'images')} nearly of "
            "one colour",
            suggestion="nothing can be seen there: remove them, or look whether they were read "
            "with the right bands and values",
            examples=pick_examples(report.name, scans, flat),
            is_warning=True,
        )


def _find_dark_and_bright(
    reports: Sequence[SplitReport], scans: Mapping[str, Sequence[Scan]]
) -> Iterator[Finding]:
    every = np.concatenate([report.brightness for report in reports])
    every = every[np.isfinite(every)]
    if len(every) < _FEW:
        return
    middle = float(np.median(every))
    spread = 1.4826 * float(np.median(np.abs(every - middle)))  # of a normal distribution
    far = max(_FAR, _FAR_SPREADS * spread)
    for report in reports:
        is_seen = report.contrast >= _FLAT
        for sign, word in ((-1, "darker"), (1, "brighter")):
            distance = sign * (report.brightness - middle)
            found = np.flatnonzero(is_seen & (distance > far))
            if not len(found):
                continue
            found = found[np.argsort(-distance[found], kind="stable")]
            notes = [f"{report.brightness[i]:.2f}" for i in found]
            yield Finding(
                title=f"images far {word} than the rest",
                text=f"{report.name}: {some_are(len(found), report.num_samples, 'images')} far "
                f"{word} than the rest (median brightness {middle:.2f})",
                suggestion="if such images will come, have more of them in train, or train with "
                "--color 0.5; otherwise leave them out",
                examples=pick_examples(report.name, scans[report.name], found, notes),
            )


def _compare_brightness(reports: Sequence[SplitReport]) -> Iterator[Finding]:
    """Whether val or test are darker or brighter than train."""
    homes = {report.name: report for report in reports}
    for report in reports:
        role = report.name.rpartition("_")[2]
        train = homes.get(report.name.removesuffix(role) + ROLES[0])
        if role not in ROLES[1:] or train is None:
            continue
        a, b = (r.brightness[np.isfinite(r.brightness)] for r in (train, report))
        if min(len(a), len(b)) < _FEW:
            continue
        difference = float(b.mean() - a.mean())
        spread = float(np.sqrt((a.var() + b.var()) / 2))
        if abs(difference) > max(_SHIFTED_MEAN, spread):
            word = "darker" if difference < 0 else "brighter"
            yield Finding(
                title="brightness of the splits",
                text=f"{report.name} is {word} than {train.name}: mean brightness {b.mean():.2f} "
                f"and {a.mean():.2f}",
                suggestion="if this is not what the network is for, draw both splits from the same "
                "images; --color 0.5 makes a training less sensitive to it",
            )
