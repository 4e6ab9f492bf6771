"""Splits that are a part of the samples that are found: a share of them, or those of a list."""

import hashlib
from collections.abc import Collection, Iterable, Sequence

from tiramisu.text import list_some, path_text, show_path

Part = tuple[float, float]
"""Where a part begins and ends, 0 to 1, in the shuffled samples: (0, 0.2) is a fifth of them."""


def choose_part(keys: Iterable[str], part: Part) -> set[str]:
    """The keys that belong to a part, the same on every machine: their order is that of a hash.

    Parts that meet, such as (0, 0.2) and (0.2, 1), share no key. Where there are two keys or more,
    none of the two is empty.
    """
    order = sorted(keys, key=lambda key: hashlib.sha256(key.encode(errors="replace")).digest())

    def place(share: float) -> int:
        if share in (0, 1):
            return round(share * len(order))
        return min(max(1, round(share * len(order))), len(order) - 1)

    return set(order[place(part[0]) : place(part[1])])


def choose_samples(keys: Collection[str], samples: Sequence[str]) -> set[str]:
    """The keys that are named, by their `path_text`.

    Raises:
        ValueError: a sample is named that is not there.
    """
    named = {path_text(key): key for key in keys}
    if missing := sorted(set(samples).difference(named)):
        raise ValueError(
            f"{len(missing)} of the {len(samples)} samples of a split are not there "
            f"({list_some([show_path(name) for name in missing], most=3)}); put them back, or take "
            "their names out of its list of samples"
        )
    return {named[name] for name in samples}
