"""The cores that a process may use, also in a container, and its memory. No torch here."""

import contextlib
import ctypes
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_SPINS = "3000"
"""Rounds for which a thread of GNU's OpenMP waits before it sleeps."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # from malloc.h
_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def list_groups() -> Iterator[Path]:
    """The folders of the control groups of this process, from the innermost outwards.

    Docker, Kubernetes and systemd set limits there. There are none on other systems.
    """
    try:
        lines = _OWN_GROUPS.read_text().splitlines()
    except OSError:  # not Linux
        return
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if own is None:
        return
    group = _GROUPS / own
    for folder in [group, *group.parents]:
        if not folder.is_relative_to(_GROUPS):
            return
        yield folder


def count_cores() -> int:
    """The cores that this process may use: those it is bound to, within a container's limit."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min([bound or 1, *_shares_in_groups()]))


def share_cores() -> None:
    """Let the threads of torch get along with a container's limit, and with other processes.

    Torch reads these variables when it is loaded. By itself it starts a thread for each core of the
    machine, whatever the limit. And a thread that waits for another spins so long that two
    processes on the same cores hardly get on; docs/speed.md has figures.
    """
    if count_cores() < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(count_cores()))
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def keep_memory(*, watched: bool = False) -> None:
    """Let memory that is freed stay with this process, unless MALLOC_... variables say otherwise.

    By default the C library gives it back to the system, and new arrays cost page faults: a
    quarter of the time of a training.

    Args:
        watched: keep only arrays up to 32 MB, and 1 GB of them, because something stops processes
            that hold more than they need, as Dask does.
    """
    is_set = any(name.startswith("MALLOC_") for name in os.environ)
    if sys.platform == "linux" and not is_set and "GLIBC_TUNABLES" not in os.environ:
        with contextlib.suppress(OSError, AttributeError):  # a C library without it, such as musl
            adjust = ctypes.CDLL(None).mallopt
            adjust(_M_TRIM_THRESHOLD, 2**30 if watched else 2**31 - 1)
            if watched:
                adjust(_M_MMAP_THRESHOLD, 2**25)
            else:
                adjust(_M_MMAP_MAX, 0)


def _shares_in_groups() -> Iterator[int]:
    """The cores that the limit of each control group comes to, rounded up."""
    for folder in list_groups():
        try:
            quota, period = (folder / "cpu.max").read_text().split()
            yield math.ceil(int(quota) / int(period))  # "max" if there is no limit
        except (OSError, ValueError):
            continue
