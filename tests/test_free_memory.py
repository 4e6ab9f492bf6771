from pathlib import Path

import psutil
import pytest

from tiramisu import free_memory as memory
from tiramisu.free_memory import free_memory

GB = 10**9


@pytest.fixture
def groups(control_groups: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Control groups of a machine with 8 GB free, and this process in one of them."""
    state = psutil.virtual_memory()._replace(available=8 * GB)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: state)
    return control_groups


def limit(group: Path, most: str, *, used: int, files: int = 0) -> None:
    (group / "memory.max").write_text(f"{most}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon 5\ninactive_file {files}\nslab 3\n")


def test_without_limits_it_is_the_machines(groups: Path) -> None:
    assert free_memory() == 8 * GB
    limit(groups / "box/inner", "max", used=GB)
    assert free_memory() == 8 * GB


def test_a_container_has_what_its_limit_leaves(groups: Path) -> None:
    limit(groups / "box/inner", str(4 * GB), used=3 * GB, files=GB)
    assert free_memory() == 2 * GB  # cached files give way
    limit(groups / "box/inner", str(4 * GB), used=5 * GB)
    assert free_memory() == 0


def test_the_tightest_of_nested_limits_counts(groups: Path) -> None:
    limit(groups / "box/inner", str(6 * GB), used=GB)
    limit(groups / "box", str(3 * GB), used=2 * GB)
    limit(groups, str(20 * GB), used=0)
    assert free_memory() == GB


def test_inside_a_container_the_root_is_its_own(groups: Path) -> None:
    (groups.parent / "own").write_text("0::/\n")
    limit(groups, str(5 * GB), used=GB)
    assert free_memory() == 4 * GB


def test_other_systems_have_no_such_files(groups: Path) -> None:
    (groups.parent / "own").unlink()
    assert free_memory() == 8 * GB
