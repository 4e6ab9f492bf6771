import os
from pathlib import Path

import pytest

from tiramisu import control_groups
from tiramisu.control_groups import count_cores, limit_threads


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A container on a machine with 16 cores."""
    (tmp_path / "own").write_text("0::/box/inner\n")
    (tmp_path / "groups/box/inner").mkdir(parents=True)
    monkeypatch.setattr(control_groups, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(control_groups, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return tmp_path / "groups/box/inner"


@pytest.mark.parametrize(
    ("inner", "outer", "cores"),
    [
        (None, None, 16),
        ("max 100000", None, 16),
        ("400000 100000", None, 4),
        ("150000 100000", None, 2),  # 1.5 cores
        ("10000 100000", None, 1),
        ("400000 100000", "300000 100000", 3),
        ("9900000 100000", None, 16),
        ("nonsense", "200000 100000", 2),
    ],
)
def test_cores_are_those_of_the_tightest_limit(
    group: Path, inner: str | None, outer: str | None, cores: int
) -> None:
    for folder, content in ((group, inner), (group.parent, outer)):
        if content is not None:
            (folder / "cpu.max").write_text(f"{content}\n")
    assert count_cores() == cores
    limit_threads()
    assert os.environ.get("OMP_NUM_THREADS") == (str(cores) if cores < 16 else None)


def test_bound_cores_count(group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert count_cores() == 2


def test_what_the_user_has_set_stays(group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (group / "cpu.max").write_text("200000 100000\n")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    limit_threads()
    assert os.environ["OMP_NUM_THREADS"] == "7"
