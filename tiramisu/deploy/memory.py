"""How much memory a forward pass takes, known before it is run."""

import copy
import weakref

import psutil
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

PROBE = 256
"""Side of the image the probe runs on; memory grows with the area, so one size is enough."""
UNKNOWN_BYTES_PER_PIXEL = 10_000.0
"""For a network that does not run on the meta device: three times FC-DenseNet103's."""
_measured: weakref.WeakKeyDictionary[nn.Module, float] = weakref.WeakKeyDictionary()


def bytes_per_pixel(model: nn.Module) -> float:
    """Peak memory of a model's forward pass, in bytes for each pixel of the image.

    The forward pass is run on the meta device, which computes shapes and no values, while every
    tensor is counted from its making to its release.
    """
    if model not in _measured:
        try:
            shadow = copy.deepcopy(model).to("meta")
            images = torch.empty(1, 3, PROBE, PROBE, dtype=torch.uint8, device="meta")
            with torch.no_grad(), _LiveBytes() as counter:
                shadow(images)
            _measured[model] = counter.peak / PROBE**2
        except RuntimeError:  # an operation that meta tensors do not know
            _measured[model] = UNKNOWN_BYTES_PER_PIXEL
    return _measured[model]


def free_bytes(device: torch.device) -> int:
    """Memory that is available on a device (for the CPU: without swapping)."""
    if device.type == "cuda":
        # What torch holds in its cache and does not use is free for us as well.
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return psutil.virtual_memory().available


class _LiveBytes(TorchDispatchMode):
    """Follows the bytes of all tensors that operations make and that are still held."""

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        # A view or an in-place result shares a storage that is counted already.
        if storage in self._seen:
            return
        self._seen.add(storage)
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.live -= size
