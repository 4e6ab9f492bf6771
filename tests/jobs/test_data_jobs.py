"""`check` and `convert` by workers: as by one process."""

from pathlib import Path

import pytest
from pretended_workers import pretend_workers

from tiramisu import commands


@pytest.mark.parametrize(
    ("flags", "asked"),
    [
        (["--workers", "2"], {"number": 2, "scheduler": None}),
        (["--scheduler", "tcp://a:1"], {"number": None, "scheduler": "tcp://a:1"}),
    ],
)
def test_workers_find_and_write_the_same(
    flags: list[str],
    asked: dict,
    rectangles: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands.check([str(rectangles)])
    alone = capsys.readouterr().out
    commands.convert([str(rectangles), str(tmp_path / "alone" / "set")])
    workers = pretend_workers(monkeypatch)
    capsys.readouterr()
    commands.check([str(rectangles), *flags])
    assert capsys.readouterr().out == alone
    assert workers.asked == asked
    assert workers.calls == 9
    commands.convert([str(rectangles), str(tmp_path / "shared" / "set"), *flags])
    assert workers.calls == 18
    folders = [tmp_path / name / "set" for name in ("alone", "shared")]
    files = [sorted(p.relative_to(f) for p in f.rglob("*") if p.is_file()) for f in folders]
    assert files[0] == files[1]
    assert all((folders[0] / p).read_bytes() == (folders[1] / p).read_bytes() for p in files[0])


def test_both_flags_are_refused(rectangles: Path, tmp_path: Path) -> None:
    both = ["--workers", "2", "--scheduler", "tcp://a:1"]
    for run, argv in (
        (commands.check, [str(rectangles)]),
        (commands.convert, [str(rectangles), str(tmp_path / "out")]),
    ):
        with pytest.raises(ValueError, match="--workers starts processes here"):
            run([*argv, *both])
