"""The parts of the benchmark: turns, names, networks of the same weights, work, memory."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tiramisu.benchmark import networks
from tiramisu.benchmark.cases import Case
from tiramisu.benchmark.contenders import check_contender, parse_contender
from tiramisu.benchmark.footprint import ApartError, run_apart
from tiramisu.benchmark.growth import grow
from tiramisu.benchmark.networks import UnavailableError, build_network
from tiramisu.benchmark.steps import count_work, draw_images, prepare
from tiramisu.benchmark.timing import Step, pick_clock, take_turns
from tiramisu.models import build_model
from tiramisu.summary.block_table import summarize


def make_case(**values: object) -> Case:
    settings = {"arch": "fc56", "mode": "infer", "batch": 1, "height": 32, "width": 48}
    return Case(**{**settings, **values})  # type: ignore[arg-type]


class FakeClock:
    """Takes down who is timed; each step takes the seconds it returns."""

    def __init__(self) -> None:
        self.timed: list[tuple[Step, int]] = []

    def __call__(self, step: Step, repeats: int) -> float:
        self.timed.append((step, repeats))
        seconds = step()
        assert isinstance(seconds, float)
        return repeats * seconds


def test_contenders_take_turns() -> None:
    clock = FakeClock()
    slow, quick = (lambda: 3.0), (lambda: 0.05)
    times = take_turns({"slow": slow, "quick": quick}, rounds=4, seconds=1e9, clock=clock)
    # One step that does not count, then those that do: a quick one as often as fits into 0.2 s.
    assert clock.timed == [(slow, 1), (slow, 1), (quick, 1), (quick, 4)] * 4
    assert times == {"slow": [3.0] * 4, "quick": pytest.approx([0.05] * 4)}


@pytest.mark.parametrize(("rounds", "seconds", "turns"), [(9, 0, 3), (2, 0, 2), (9, 25, 5)])
def test_turns_end_with_their_time(rounds: int, seconds: float, turns: int) -> None:
    times = take_turns({"a": lambda: 3.0}, rounds=rounds, seconds=seconds, clock=FakeClock())
    assert times == {"a": [3.0] * turns}


def test_the_processors_clock_counts_every_repetition() -> None:
    done: list[int] = []
    assert 0 < pick_clock("cpu")(lambda: done.append(1), 5) < 1
    assert len(done) == 5


@pytest.mark.parametrize(
    "name",
    ["ours", "ours+compile", "plain+channels_last+compile", "smp:unet/resnet34", "ours+onnx"],
)
def test_a_contender_keeps_its_name(name: str) -> None:
    assert parse_contender(name).name == name


@pytest.mark.parametrize(
    "name", ["theirs", "ours+fast", "smp:unet", "smp:net/resnet34", "ours+compile+compile", ""]
)
def test_an_unknown_contender_is_refused_with_the_list(name: str) -> None:
    with pytest.raises(ValueError, match=r"ours, plain, torchvision, smp:.*compile.*onnx") as error:
        parse_contender(name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize(
    ("name", "arch", "mode", "precision"),
    [
        ("plain", "densenet121", "infer", "fp32"),
        ("torchvision", "fc56", "infer", "fp32"),
        ("torchvision", "densenet264", "infer", "fp32"),
        ("smp:unet/resnet34", "densenet121", "infer", "fp32"),
        ("plain+memory_efficient", "fc56", "train", "fp32"),
        ("plain+onnx", "fc56", "infer", "fp32"),
        ("ours+compile+onnx", "fc56", "infer", "fp32"),
        ("ours+onnx", "fc56", "train", "fp32"),
        ("ours+onnx", "fc56", "infer", "bf16"),
        ("ours+openvino", "densenet121", "infer", "fp32"),
    ],
)
def test_what_can_never_run_is_refused(name: str, arch: str, mode: str, precision: str) -> None:
    case = make_case(arch=arch, mode=mode, precision=precision)
    with pytest.raises(ValueError, match="--contenders"):
        check_contender(parse_contender(name), case)


@pytest.mark.parametrize(("arch", "reference"), [("fc56", "plain"), ("densenet121", "torchvision")])
def test_the_same_weights_give_the_same_logits(arch: str, reference: str) -> None:
    case = make_case(arch=arch, batch=2, height=64, width=64)
    ours, other = (prepare(parse_contender(name), case).infer() for name in ("ours", reference))
    assert ours.std() > 0.1  # not equal because they are nothing
    assert (ours - other).abs().max() < 1e-4


def test_another_library_s_network_takes_odd_sizes() -> None:
    case = make_case(height=33, width=50)
    assert prepare(parse_contender("smp:unet/resnet18"), case).infer().shape == (1, 11, 33, 50)


def test_the_plain_network_is_only_in_a_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "PLAIN", Path("nowhere.py"))
    with pytest.raises(UnavailableError, match="clone"):
        build_network(parse_contender("plain"), make_case())


@pytest.mark.parametrize("name", ["ours", "plain"])
def test_a_training_step_learns(name: str) -> None:
    ready = prepare(parse_contender(name), make_case(mode="train", height=64, width=64))
    before = ready.infer()
    ready.step()
    assert ready.infer().isfinite().all()
    assert (ready.infer() - before).abs().max() > 1e-3


def test_work_is_counted_without_doing_it() -> None:
    whole = summarize(build_model("fc56", num_classes=11), height=320, width=480)
    case = make_case(batch=2, height=320, width=480)
    assert count_work(parse_contender("plain"), case) == 2 * whole.multiply_adds
    assert count_work(parse_contender("ours+onnx"), case) == 2 * whole.multiply_adds
    # Both gradients of every convolution, but none of the images.
    training = count_work(parse_contender("ours"), make_case(mode="train", height=320, width=480))
    assert 2.9 * whole.multiply_adds < training < 3 * whole.multiply_adds


def test_images_are_drawn_scenes() -> None:
    images = draw_images(make_case(batch=2))
    assert images.shape == (2, 3, 32, 48)
    assert images.dtype == torch.uint8
    assert (images[0] != images[1]).any()


def test_studies_change_one_thing() -> None:
    case = make_case(batch=2)
    assert [(c.height, c.width) for c in grow(case, "size").values()] == [
        *[(16, 24), (32, 48), (48, 72), (64, 96)]
    ]
    assert {c.arch for c in grow(case, "depth").values()} == {"fc56", "fc67", "fc103"}
    assert [c.batch for c in grow(case, "batch").values()] == [1, 2, 4, 8]


PEAK = """
import torch
from tiramisu.deploy.benchmark.footprint import measure_peak

torch.ones(100_000_000)  # 400 MB, freed again: no part of what follows
kept = torch.ones(25_000_000)
print(measure_peak(lambda: torch.ones(50_000_000).sum(), device="cpu"))  # 200 MB
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells the peak")
def test_peak_memory_is_what_a_step_allocates() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", PEAK], capture_output=True, text=True, check=True
    ).stdout
    assert 200e6 <= int(printed) < 260e6


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(ApartError, match="no_such_module"):
        run_apart("tiramisu.no_such_module", {})
