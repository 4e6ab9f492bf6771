"""Which samples stay together: by a pattern in their names, and near-duplicates."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from tiramisu.data.splitting.split_samples import SplitSample
from tiramisu.data.splitting.stratify import Group
from tiramisu.text import list_some, show

_SHOWN = 3
LARGEST = 0.3
"""Part of the samples that a group of near-duplicates may have: a longer chain is a video, and
would leave too little to choose from."""


def name_groups(names: Sequence[str], pattern: str | None, *, flag: str = "--groups") -> list[str]:
    """The group of each sample: what the first group of the pattern matches, or the whole pattern.

    A sample that does not match, and each one without a pattern, is a group of its own.

    Raises:
        ValueError: the pattern matches no name, or puts all samples into one group.
    """
    if pattern is None:
        return list(names)
    matches = [re.search(pattern, name) for name in names]
    if not any(matches):
        raise ValueError(
            f"{flag} is {show(pattern)}, which matches no sample; their names look like "
            f"{list_some(names, most=_SHOWN)}"
        )
    # A sample whose name is that of a group does not belong to it: the kinds are told apart.
    groups = [
        f"={name}"
        if match is None
        else f"~{match[1] if match.re.groups and match[1] else match[0]}"
        for name, match in zip(names, matches, strict=True)
    ]
    if len(set(groups)) == 1:
        raise ValueError(
            f"{flag} is {show(pattern)}, which puts all {len(names)} samples into the group "
            f"{show(groups[0][1:])}; expected two groups or more in names such as "
            f"{list_some(names, most=_SHOWN)}"
        )
    return groups


def make_groups(
    facts: Sequence[SplitSample], names: Sequence[str], pairs: Iterable[tuple[int, int]]
) -> list[Group]:
    """The groups of all samples.

    Args:
        facts: of each sample.
        names: the group of each sample.
        pairs: numbers of samples whose groups are joined.
    """
    first = {name: number for number, name in reversed(list(enumerate(names)))}
    parents = [first[name] for name in names]
    for i, j in pairs:
        a, b = sorted((_find(parents, i), _find(parents, j)))
        parents[b] = a
    members: dict[int, list[int]] = {}
    for number in range(len(names)):
        members.setdefault(_find(parents, number), []).append(number)
    return [
        Group(
            name=min(facts[i].name for i in found),
            samples=tuple(found),
            counts=sum((Counter(facts[i].counts) for i in found), Counter()),
        )
        for found in members.values()
    ]


def join_where_possible(
    facts: Sequence[SplitSample],
    names: Sequence[str],
    pairs: Sequence[tuple[int, int]],
    *,
    parts: int,
) -> tuple[list[Group], list[tuple[int, int]]]:
    """The groups with near-duplicates joined, and the pairs that stay apart.

    Near-duplicates stay apart where they form a long chain, as the frames of a video do. Copies of
    one file are always joined.

    Args:
        facts, names: as for `make_groups`.
        pairs: near-duplicates.
        parts: the number of parts, for which there must be enough groups.
    """
    first: dict[str, int] = {}
    copies = [
        (first.setdefault(fact.digest, number), number)
        for number, fact in enumerate(facts)
        if fact.digest
    ]
    plain = make_groups(facts, names, copies)
    most = max(LARGEST * len(facts), *(len(group.samples) for group in plain), 2)
    joined = make_groups(facts, names, [*copies, *pairs])
    too_long = {i for group in joined if len(group.samples) > most for i in group.samples}
    kept = [pair for pair in pairs if pair[0] not in too_long]
    joined = make_groups(facts, names, [*copies, *kept])
    if len(joined) < 2 * parts:
        joined = plain
    home = {i: number for number, group in enumerate(joined) for i in group.samples}
    return joined, [(i, j) for i, j in pairs if home[i] != home[j]]


def _find(parents: list[int], number: int) -> int:
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = parents[number]
    return number
