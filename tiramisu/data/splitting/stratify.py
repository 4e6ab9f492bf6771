"""Share out groups of samples so that every part has its share of every class.

Greedy, as iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011): the class
that is in the fewest groups goes first, and each of its groups goes to the part that lacks most of
it. Then groups are exchanged: until the pixels of all classes are shared out more evenly, and until
a class that is in two groups or more is in every part, as far as its groups suffice.

The result depends on names, counts and the seed alone: ties are broken by a hash of the names.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, islice

MOST_EXCHANGES = 100_000
"""Exchanges of two groups that are tried: about a second."""
TOLERANCE = 0.1
"""Part of its share by which the pixels of a class in a part may differ from it. Less would make
the choice the same for all seeds where there are few groups."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Samples that stay together."""

    name: str
    samples: tuple[int, ...]
    """Their numbers."""
    counts: Counter[int]
    """Pixels (or images) of each class in them, without classes that are not there."""


def share_out(groups: Sequence[Group], *, sizes: Sequence[float], seed: int) -> list[int]:
    """The number of the part of each group.

    Args:
        groups: with different names, at least as many as parts.
        sizes: number of samples that each part should have; they sum to all samples.
        seed: another one gives other parts.
    """
    order = sorted(range(len(groups)), key=lambda g: _hash(f"{seed} {groups[g].name}"))
    parts = _assign(groups, order, sizes)
    _balance(groups, order, parts, sizes)
    _spread(groups, order, parts, number=len(sizes))
    return parts


def _assign(groups: Sequence[Group], order: Sequence[int], sizes: Sequence[float]) -> list[int]:
    total = _count(groups)
    shares = [size / sum(sizes) for size in sizes]
    wanted = [{c: share * count for c, count in total.items()} for share in shares]
    room = list(sizes)
    parts = [-1] * len(groups)
    frequency = Counter(c for group in groups for c in group.counts)
    members: dict[int, list[int]] = {c: [] for c in frequency}
    for g in order:
        for c in groups[g].counts:
            members[c].append(g)

    def place(g: int, c: int | None) -> None:
        """Put a group where most of a class is lacking, or of samples for None."""
        size = len(groups[g].samples)
        every = range(len(sizes))
        open_parts = [p for p in every if room[p] >= size / 2]
        candidates = open_parts or [max(every, key=lambda p: room[p])]
        free = [room[p] / sizes[p] for p in every]
        best = max(candidates, key=lambda p: (free[p] if c is None else wanted[p][c], free[p], -p))
        parts[g] = best
        room[best] -= size
        for label, count in groups[g].counts.items():
            wanted[best][label] -= count
            frequency[label] -= 1

    while rest := [c for c, count in frequency.items() if count > 0]:
        rarest = min(rest, key=lambda c: (frequency[c], total[c], c))
        for g in members[rarest]:
            if parts[g] < 0:
                place(g, rarest)
    for g in order:
        if parts[g] < 0:  # no pixel has a label
            place(g, None)
    return parts


def _balance(
    groups: Sequence[Group], order: Sequence[int], parts: list[int], sizes: Sequence[float]
) -> None:
    """Exchange groups of one size in `parts` where that brings classes closer to their shares."""
    total = _count(groups)
    # How much more of each class a part has than its share, as a part of the class.
    shares = [size / sum(sizes) for size in sizes]
    excess = [dict.fromkeys(total, -share) for share in shares]
    for g in order:
        for c, count in groups[g].counts.items():
            excess[parts[g]][c] += count / total[c]

    def is_even() -> bool:
        return all(
            abs(value) <= TOLERANCE * share
            for share, values in zip(shares, excess, strict=True)
            for value in values.values()
        )

    done = is_even()
    for g, h in islice(combinations(order, 2), MOST_EXCHANGES):
        if done:
            return
        if parts[g] == parts[h] or len(groups[g].samples) != len(groups[h].samples):
            continue
        ours, theirs = excess[parts[g]], excess[parts[h]]
        change = {
            c: (groups[h].counts[c] - groups[g].counts[c]) / total[c]
            for c in sorted(groups[g].counts.keys() | groups[h].counts.keys())
        }
        gain = sum(
            ours[c] ** 2 + theirs[c] ** 2 - (ours[c] + d) ** 2 - (theirs[c] - d) ** 2
            for c, d in change.items()
        )
        if gain > 1e-9:
            parts[g], parts[h] = parts[h], parts[g]
            for c, d in change.items():
                ours[c] += d
                theirs[c] -= d
            done = is_even()


def _spread(
    groups: Sequence[Group], order: Sequence[int], parts: list[int], *, number: int
) -> None:
    """Change `parts` so that classes are in all parts, and no part is empty."""
    in_part = [Counter[int]() for _ in range(number)]  # groups of each class
    for g, p in enumerate(parts):
        in_part[p].update(groups[g].counts.keys())
    frequency = Counter(c for group in groups for c in group.counts)

    def move(g: int, to: int) -> None:
        in_part[parts[g]].subtract(groups[g].counts.keys())
        in_part[to].update(groups[g].counts.keys())
        parts[g] = to

    def can_leave(g: int) -> bool:
        here = in_part[parts[g]]
        return parts.count(parts[g]) > 1 and all(here[c] > 1 for c in groups[g].counts)

    for p in range(number):
        if p not in parts:
            most = max(range(number), key=lambda q: (parts.count(q), -q))
            move(next(g for g in order if parts[g] == most), p)
    for c in sorted(frequency, key=lambda c: (frequency[c], c)):
        for p in range(number):
            if in_part[p][c] or frequency[c] < 2:
                continue
            movable = [g for g in order if c in groups[g].counts and can_leave(g)]
            if not movable:
                continue
            g = min(movable, key=lambda g: len(groups[g].samples))
            home = parts[g]
            move(g, p)
            # One of the same size goes back, so that the parts keep their sizes.
            size = len(groups[g].samples)
            for other in order:
                is_like = parts[other] == p and len(groups[other].samples) == size
                if is_like and other != g and can_leave(other):
                    move(other, home)
                    break


def _count(groups: Sequence[Group]) -> Counter[int]:
    """The pixels (or images) of each class in all groups."""
    total = Counter[int]()
    for group in groups:
        total.update(group.counts)
    return total


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
