"""A part of the samples of a data set that has no splits of its own."""

import hashlib
from collections.abc import Iterable

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
