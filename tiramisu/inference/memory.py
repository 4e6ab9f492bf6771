"""How much memory a forward pass takes, known before an image is predicted."""

import copy
import weakref

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tiramisu.data.free_memory import free_memory
from tiramisu.inference.exported import ExportedModel
from tiramisu.inference.predictor import Predictor

PROBES = (128, 256)
"""Sides of the images that a network is probed with. By what they differ, it grows with the area;
what both take, such as the pieces that the CPU computes at a time, belongs to `FIXED_BYTES`."""
UNKNOWN_BYTES_PER_PIXEL = 10_000.0
"""For a network that cannot be probed: three times FC-DenseNet103's, layer by layer."""
CPU_MARGIN = 1.15
"""Peak memory on the CPU over the bytes of the tensors there. Measured, 0.98 to 1.03."""
OTHER_MARGIN = 1.5
"""The same elsewhere, where convolutions may hold copies in a layout of their own."""
FIXED_BYTES = 256 * 2**20
"""What a forward pass takes beside that, whatever the size of the image. Measured, 50 to 200 MB."""
_measured: weakref.WeakKeyDictionary[nn.Module, dict[bool, float]] = weakref.WeakKeyDictionary()


def forward_bytes(model: Predictor, *, pixels: float) -> float:
    """Peak memory of a forward pass over so many pixels, above the loaded program, at most."""
    on_cpu = not isinstance(model, ExportedModel) and model.device.type == "cpu"
    margin = CPU_MARGIN if on_cpu else OTHER_MARGIN
    return FIXED_BYTES + margin * bytes_per_pixel(model) * pixels


def bytes_per_pixel(model: Predictor | nn.Module, *, layer_by_layer: bool = False) -> float:
    """Peak memory of a model's forward pass, in bytes for each pixel of the image.

    Two small images are predicted, while every tensor is counted from its making to its release.
    A model on another device is not run there but on torch's meta device, which computes shapes
    and no values. An exported model holds the figure of the model it was made from.

    layer_by_layer: the figure without the CPU's fused layers, as other devices and runtimes
        compute.
    """
    if isinstance(model, ExportedModel):
        return model.bytes_per_pixel
    if not isinstance(model, nn.Module):
        return UNKNOWN_BYTES_PER_PIXEL
    tensors = [*model.parameters(), *model.buffers()]
    on_meta = layer_by_layer or any(tensor.device.type != "cpu" for tensor in tensors)
    known = _measured.setdefault(model, {})
    if on_meta not in known:
        known[on_meta] = _probe(model, torch.device("meta" if on_meta else "cpu"))
    return known[on_meta]


def free_bytes(device: torch.device) -> int:
    """Memory that is available on a device (for the CPU: without swapping)."""
    if device.type == "cuda":
        # What torch holds in its cache and does not use is free for us as well.
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return free_memory()


def _probe(model: nn.Module, device: torch.device) -> float:
    shadow = copy.deepcopy(model).to(device)
    peaks = []
    for side in PROBES:
        images = torch.zeros(1, 3, side, side, dtype=torch.uint8, device=device)
        try:
            with torch.no_grad(), _LiveBytes() as counter:
                shadow(images)
        except RuntimeError:  # an operation that meta tensors do not know
            return UNKNOWN_BYTES_PER_PIXEL
        peaks.append(counter.peak)
    return (peaks[1] - peaks[0]) / (PROBES[1] ** 2 - PROBES[0] ** 2)


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
