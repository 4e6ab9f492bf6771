"""Which process of a run writes files, and which errors are about memory."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tiramisu import cli, commands
from tiramisu.devices import (
    check_precision,
    count_devices,
    describe_origin,
    is_main_process,
    is_out_of_memory,
    pick_device,
)

RANKS = ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK")


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        ({}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "4", "LOCAL_RANK": "0"}, False),
        ({"SLURM_PROCID": "0"}, True),
        ({"SLURM_PROCID": "3"}, False),
    ],
)
def test_only_one_process_is_the_main_one(
    ranks: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)
    for name, value in ranks.items():
        monkeypatch.setenv(name, value)
    assert is_main_process() == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("shapes do not match"), False),
    ],
)
def test_errors_about_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


def test_device_of_a_setting() -> None:
    assert pick_device("cpu").type == "cpu"
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        assert pick_device("auto").type == "cpu"
        with pytest.raises(ValueError, match="no GPU"):
            pick_device("gpu")
        with pytest.raises(ValueError, match="--accelerator mps is for Macs"):
            pick_device("mps")


def test_apples_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("mps").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("gpu").type == pick_device("auto").type == "mps"


@pytest.mark.parametrize("name", [*RANKS, "SLURM_NTASKS"])
@pytest.mark.parametrize("value", ["x", "", "-1", "1.5"])
def test_a_rank_that_is_no_number_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as exit_info:
        cli.run("train", [])
    assert exit_info.value.code == 2
    assert f"the environment variable {name} is {value!r}; expected" in capsys.readouterr().err


@pytest.mark.parametrize("command", commands.COMMANDS)
def test_a_working_folder_that_is_gone(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(SystemExit) as exit_info:
        cli.run(command, [])
    assert exit_info.value.code == 2
    shown = capsys.readouterr().err
    assert shown == (
        f"tiramisu {command}: error: the working folder does not exist any more; change to another "
        "one by `cd`\n"
    )


def test_what_pip_left_behind_of_a_package_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [SimpleNamespace(name=None, version=None), SimpleNamespace(name="torch", version="9")]
    monkeypatch.setattr("importlib.metadata.distributions", lambda: left)
    origin = describe_origin(torch.device("cpu"))
    assert origin["torch"] == "9"
    assert str(origin["command"])


def test_devices_of_a_cpu() -> None:
    assert count_devices(torch.device("cpu")) >= 2
    check_precision("bf16", torch.device("cpu"))
    with pytest.raises(ValueError, match="--precision fp16 needs a GPU"):
        check_precision("fp16", torch.device("cpu"))
