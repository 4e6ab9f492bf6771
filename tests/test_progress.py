"""Progress in a terminal, a notebook and a log file."""

import itertools
import re
import sys

import pytest

from tiramisu import progress
from tiramisu.progress import track


def test_a_log_file_has_a_line_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = itertools.count(step=25)
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    done = list(track(range(8), doing="predicting", unit="images", total=20, done=2))
    assert done == list(range(8))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "predicting: 5 of 20 images, 0.04 images/s, 06:15 left",
        "predicting: 8 of 20 images, 0.04 images/s, 05:00 left",
    ]
    list(track(range(3), doing="reading", unit="frames", total=None))
    assert capsys.readouterr().err == "reading: 3 frames, 0.04 frames/s\n"


@pytest.mark.parametrize("watched", ["terminal", "notebook"])
def test_who_watches_sees_a_bar(
    watched: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: watched == "terminal")
    if watched == "notebook":
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert list(track("abc", doing="predicting", unit="images", total=3)) == ["a", "b", "c"]
    shown = capsys.readouterr()
    bar = shown.out if watched == "notebook" else shown.err
    assert (shown.err if watched == "notebook" else shown.out) == ""
    assert re.search(r"predicting +0% \|.*\| 00:00 < \?, 0 of 3 images, ", bar)
