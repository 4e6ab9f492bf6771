import os
import subprocess
import sys
from pathlib import Path

import pytest

from tiramisu.machine import count_cores, share_cores


@pytest.fixture
def group(control_groups: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A container on a machine with 16 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    return control_groups / "box/inner"


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
    share_cores()
    assert os.environ.get("OMP_NUM_THREADS") == (str(cores) if cores < 16 else None)


def test_bound_cores_count(group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert count_cores() == 2


def test_what_the_user_has_set_stays(group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (group / "cpu.max").write_text("200000 100000\n")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    share_cores()
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert os.environ["GOMP_SPINCOUNT"] == "3000"


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_how_threads_wait_is_the_users_choice(
    group: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "ACTIVE" if name == "OMP_WAIT_POLICY" else "7")
    share_cores()
    assert os.environ.get("GOMP_SPINCOUNT") == ("7" if name == "GOMP_SPINCOUNT" else None)


def test_the_command_line_sets_it_before_torch_is_loaded_and_an_import_does_not() -> None:
    show = "import os, sys; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    command = "import tiramisu.commands as c; from tiramisu.cli import run\n"
    command += f"def show(argv): {show}\n"
    command += "c.COMMANDS['check'] = show; run('check', [])"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_WAIT", "GOMP_"))}
    said = [
        subprocess.run(
            [sys.executable, "-c", source],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for source in (command, f"import tiramisu; {show}")
    ]
    assert said == [["3000", "False"], ["None", "False"]]


PAGES = """
import resource, torch
from tiramisu.machine import keep_memory
if {kept}:
    keep_memory()
def count():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(12):  # until the C library has found its places
    torch.zeros(64 * 2**20)
before = count()
torch.zeros(64 * 2**20)
print(count() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux")
@pytest.mark.parametrize(
    ("kept", "variables", "few"),
    [(True, {}, True), (False, {}, False), (True, {"MALLOC_ARENA_MAX": "8"}, False)],
)
def test_freed_memory_is_used_again(kept: bool, variables: dict[str, str], few: bool) -> None:
    """An array of 256 MB: 65,000 pages that are new to the process, or none.

    Where the user has set variables, they count.
    """
    others = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    ran = subprocess.run(
        [sys.executable, "-c", PAGES.format(kept=kept)],
        check=True,
        capture_output=True,
        text=True,
        env=others | variables,
    )
    assert (int(ran.stdout) < 100) == few
