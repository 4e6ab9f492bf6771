"""How much memory is free: of the machine's, and of what a container may have of it."""

from collections.abc import Iterator
from pathlib import Path

import psutil

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def free_memory() -> int:
    """Bytes that this process may still take without swapping.

    In a container (Docker, Kubernetes, systemd: Linux's control groups, version 2) no more than
    its limits leave.
    """
    return min([psutil.virtual_memory().available, *_left_in_groups()])


def _left_in_groups() -> Iterator[int]:
    """What the limit of each control group around this process leaves, in bytes."""
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
        try:
            limit = int((folder / "memory.max").read_text())  # "max" where there is none
            used = int((folder / "memory.current").read_text())
            statistics = (folder / "memory.stat").read_text().split()
            # The system drops cached files before it lets a group run out.
            files = int(statistics[statistics.index("inactive_file") + 1])
        except (OSError, ValueError):
            continue
        yield max(0, limit - used + files)
