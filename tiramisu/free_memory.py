"""Free memory of the machine, within the limits of a container."""

from collections.abc import Callable, Iterator

import psutil
import torch

from tiramisu.machine import list_groups


def free_memory() -> int:
    """Bytes that this process can still allocate without swapping.

    The limits of a container count too; see `list_groups`.
    """
    return min([psutil.virtual_memory().available, *_left_in_groups()])


def check_memory(
    needed: int,
    *,
    device: torch.device,
    what: str,
    outputs: str,
    remedy: Callable[[float], str],
) -> None:
    """Raise ValueError if a device has less free memory than something needs at least.

    Args:
        needed: bytes.
        device: where; all but CUDA's share the memory of the machine.
        what: what needs it, in the words of the command line.
        outputs: for which outputs of the network.
        remedy: what to do, from the part of the bytes that is free, 0..1.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
    if needed > free:
        raise ValueError(
            f"{what} takes {needed / 2**30:.0f} GiB of memory for {outputs}, and "
            f"{free / 2**30:.0f} GiB are free; {remedy(free / needed)}"
        )


def _left_in_groups() -> Iterator[int]:
    """Bytes that are free within the limit of each control group of this process."""
    for folder in list_groups():
        try:
            limit = int((folder / "memory.max").read_text())  # "max" if there is no limit
            used = int((folder / "memory.current").read_text())
            statistics = (folder / "memory.stat").read_text().split()
            # Linux drops cached files before a group runs out of memory.
            files = int(statistics[statistics.index("inactive_file") + 1])
        except (OSError, ValueError):
            continue
        yield max(0, limit - used + files)
