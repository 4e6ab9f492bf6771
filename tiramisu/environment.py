"""The environment variables that say which process of a run this one is. No torch in this file."""

import os

RANKS = ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK")
"""Set by torchrun and SLURM (over all machines), by Lightning (on this one) and by the user."""


def read_rank(name: str) -> int | None:
    """The number of this process; None where the variable is not set.

    Raises:
        ValueError: the variable holds no number.
    """
    text = os.environ.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise ValueError(
            f"the environment variable {name} is {text!r}; expected a whole number, as "
            "torchrun and SLURM set it: remove it where there is one process"
        )
    return int(text)


def check_ranks() -> None:
    """Raise ValueError if a number is none, before Lightning, which does not name it, reads it."""
    for name in (*RANKS, "SLURM_NTASKS"):
        read_rank(name)
