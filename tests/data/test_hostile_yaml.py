"""Descriptions of data sets from strangers: one line at once, whatever is in them."""

import string
import time
from pathlib import Path

import pytest

from tiramisu import cli
from tiramisu.data.catalog import load_spec

TEMPLATE = """\
name: NAME
title: T
root: ROOT
classes: [a, b]
splits:
  train: {images: "IMAGES", masks: "m/*.png"}
"""


def write(**changes: str) -> str:
    text = TEMPLATE
    for key, value in {"NAME": "x", "ROOT": ".", "IMAGES": "i/*.png", **changes}.items():
        text = text.replace(key, value)
    return text


def laughs() -> str:
    """Nine anchors, each ten times the one before: a thousand million values."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for before, name in zip(string.ascii_letters, string.ascii_letters[1:10], strict=False):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")
    return "\n".join(lines)


def chain() -> str:
    """Each anchor holds the one before: few values, but two thousand levels."""
    return "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 1300))


CASES = {
    "name that leads up": (write(NAME="../../evil"), "without / and"),
    "absolute name": (write(NAME="/anywhere"), "without / and"),
    "hidden name": (write(NAME=".."), "without / and"),
    "name for Windows": (write(NAME="'..\\evil'"), "without / and"),
    "long name": (write(NAME="x" * 300), "at most 100 letters"),
    "up in braces": (write(IMAGES="{..,x}/data/*.png"), "relative to the root"),
    "absolute in braces": (write(IMAGES="{/etc,x}/*.png"), "relative to the root"),
    "up in inner braces": (write(IMAGES="{x,{a,..}}/*.png"), "relative to the root"),
    "forty braces": (write(IMAGES="{a,b}" * 40 + "/*.png"), "at most 1000 choices"),
    "wrong range": (write(IMAGES="i/[z-a]*.png"), "this is no pattern"),
    "list elsewhere": (
        write().replace('masks: "m/*.png"', 'masks: "m/*.png", list: ../../list.txt'),
        "relative to its folder",
    ),
    "checksums elsewhere": (
        write() + "source: {homepage: a, licence: b, url: c, checksums: /etc/passwd}\n",
        "relative to its folder",
    ),
    "billion laughs": (laughs(), "too many values in line"),
    "chain of anchors": (chain(), "line 29 is too deep"),
    "ring": ("name: &a [*a]\n", "too many values in line 1"),
    "ring of an anchor given twice": ("a: &a [1]\nb: &a [*a]\n", "too many values in line 2"),
    "ring of mappings": ("classes: &a {b: *a}\n", "too many values in line 1"),
    "brackets": ("name: " + "[" * 2000, "too deep"),
    "deep mapping": ("name: " + "{a: " * 2000 + "1" + "}" * 2000, "too deep"),
    "merge of a list": ("name: x\n<<: [1, 2]\n", "not YAML"),
    "object": ("name: !!python/object/apply:os.system ['true']\n", "not YAML"),
    "not text": ("name: \0", "not YAML"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_line_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    text, message = CASES[case]
    path = tmp_path / "hostile.yaml"
    path.write_text(text)
    started = time.perf_counter()
    with pytest.raises(ValueError, match=message) as caught:
        load_spec(str(path))
    assert time.perf_counter() - started < 5
    assert "hostile.yaml" in str(caught.value)
    with pytest.raises(SystemExit) as stopped:
        cli.run("check", [str(path)])
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_unknown_user_is_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_text(write(ROOT="~nosuchuser/x"))
    assert load_spec(str(path)).root == tmp_path / "~nosuchuser/x"
    with pytest.raises(ValueError, match="~nosuchuser"):
        load_spec("~nosuchuser/x.yaml")


def test_anchors_may_be_used(tmp_path: Path) -> None:
    path = tmp_path / "anchors.yaml"
    path.write_text(write().replace('"i/*.png"', "&p 'i/*.png'").replace('"m/*.png"', "*p"))
    assert load_spec(str(path)).split("train").images == ("i/*.png",)
