"""What a process finds around it: its number in a run, and its working folder. No torch here."""

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


def check_environment() -> None:
    """Check what libraries read as soon as they are loaded, and would not name.

    Raises:
        ValueError: a process's number is none.
        FileNotFoundError: the working folder is gone: without one, MKL ends the process.
    """
    for name in (*RANKS, "SLURM_NTASKS"):
        read_rank(name)
    try:
        os.getcwd()
    except FileNotFoundError:
        raise FileNotFoundError(
            "the working folder does not exist any more; change to another one by `cd`"
        ) from None
