import copy
import subprocess
import sys

import torch
from torch import Tensor, nn

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.devices import is_out_of_memory
from tiramisu.inference.memory import UNKNOWN_BYTES_PER_PIXEL, bytes_per_pixel


def test_counts_what_is_alive_at_the_peak() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 8, 3, padding=1)
            self.last = nn.Conv2d(8, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x / 255)  # 3 floats, then 8 beside them
            x = torch.relu(x)  # 8 and 8 floats: the peak, 64 bytes a pixel
            return self.last(x.relu_())  # 8 and 4 floats

    assert bytes_per_pixel(Network()) == 64


def test_views_count_once() -> None:
    class Views(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x.float()
            return x.view(-1).reshape(x.shape).transpose(1, 3).flatten().add_(1)

    # Three floats, and the copy that flattening out of order makes.
    assert bytes_per_pixel(Views()) == 24


class Peeks(nn.Module):
    """Computes with what it sees, and not with shapes alone."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.weight
        return x if x.sum().item() >= 0 else -x


def test_network_that_needs_values_is_measured_on_the_cpu() -> None:
    assert bytes_per_pixel(Peeks()) == 12


def test_elsewhere_it_gets_a_cautious_guess() -> None:
    assert bytes_per_pixel(Peeks().to("meta")) == UNKNOWN_BYTES_PER_PIXEL


def test_measuring_leaves_the_model_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    model.register_forward_pre_hook(lambda _, args: (args[0].float(),))
    before = copy.deepcopy(model.state_dict())
    for layer_by_layer in (False, True):
        bytes_per_pixel(model, layer_by_layer=layer_by_layer)
    for name, value in model.state_dict().items():
        assert value.device.type == "cpu"
        assert torch.equal(value, before[name])


def test_fused_layers_take_less_than_layer_by_layer() -> None:
    names = tuple("abcdefghijk")
    info = ModelInfo(arch="fc56", class_names=names, colors=((0, 0, 0),) * 11)
    model = SegmentationModel.build(info).eval()
    assert bytes_per_pixel(model) < 0.7 * bytes_per_pixel(model, layer_by_layer=True)


def test_tells_out_of_memory_from_other_errors() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_rule_bounds_the_real_peak_of_a_network() -> None:
    """A fresh process predicts with FC-DenseNet56 and stays below what the rule said."""
    script = """
import pathlib, resource, sys, torch
from tiramisu.deploy.memory import bytes_per_pixel, forward_bytes
from tiramisu.engine.model import ModelInfo, SegmentationModel

torch.set_num_threads(1)
names = tuple("abcdefghijk")
model = SegmentationModel.build(ModelInfo(arch="fc56", class_names=names, colors=((0, 0, 0),) * 11))
height, width = 480, 640


def peak() -> int:
    # Linux hands ru_maxrss down from the process that started this one, which may be the larger.
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    # In bytes on macOS and in kilobytes elsewhere.
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


with torch.inference_mode():
    model.eval()(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    before = peak()
    model(torch.zeros(1, 3, height, width, dtype=torch.uint8))
used = peak() - before
pixels = height * width
print(used, bytes_per_pixel(model) * pixels, forward_bytes(model, pixels=pixels))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    used, live, bound = map(float, done.stdout.split())
    assert 0.8 * live < used < bound
