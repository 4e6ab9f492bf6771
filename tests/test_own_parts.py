"""MODULE:NAME leads to a part of one's own, or to one line that says what is wrong."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_parts

from tiramisu.own_parts import (
    accepted,
    find_part_by_name,
    is_importable,
    is_own_name,
    name_of,
)

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a module into the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])

    def write_module(name: str, text: str) -> Path:
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        return path

    return write_module


@pytest.mark.parametrize("name", ["a:B", "a.b_c:D", "a:B.c", "m:f.<locals>.N", "__main__:<lambda>"])
def test_names(name: str) -> None:
    assert is_own_name(name)


@pytest.mark.parametrize(
    "name", ["fc56", "a:", ":b", "a b:c", "smp:unet/resnet34", "a:b:c", "a/b:c", "1a:b", "a.:b", 3]
)
def test_other_texts(name: object) -> None:
    assert not is_own_name(name)


def test_found_in_the_current_folder(write: Write) -> None:
    write("own_parts_here", "class Inner:\n    answer = 42\n")
    assert find_part_by_name("own_parts_here:Inner.answer", flag="--x") == 42
    write("own_package.sub.__init__", "")
    write("own_package.sub.deep", "answer = 43\n")
    assert find_part_by_name("own_package.sub.deep:answer", flag="--x") == 43


def test_found_where_python_looks() -> None:
    assert find_part_by_name("tiny_parts:TinyNet", flag="--arch") is tiny_parts.TinyNet


@pytest.mark.parametrize(
    ("module", "text", "message"),
    [
        ("own_none:X", None, "there is no module own_none, neither in the current folder .* nor"),
        ("own_somewhat:X", None, r"no module own_somewhat,.*; did you mean own_somewhere\?"),
        (
            "own_names:Xyz",
            "Xyzz = 1",
            r"own_names \(.*own_names\.py\) has no Xyz; did you mean Xyzz",
        ),
        ("own_names:_x", "y = 1", "has no _x$"),
        ("own_syntax:X", "x = 1\ndef f(:\n", r"own_syntax\.py, line 2: SyntaxError"),
        ("own_error:X", "\n\nx = 1 / 0", r"own_error\.py, line 3: ZeroDivisionError: division"),
        (
            "own_import:X",
            "import not_there",
            r"own_import\.py, line 1: ModuleNotFoundError.*not_there",
        ),
        ("own_exit:X", "raise SystemExit(3)", r"own_exit\.py, line 1: SystemExit: 3"),
        ("own_flat.sub:X", "", "there is no module own_flat.sub"),
        ("own_flat:f.<locals>.X", "", "made inside a function"),
    ],
)
def test_errors_in_one_line(write: Write, module: str, text: str | None, message: str) -> None:
    write("own_somewhere", "")
    if text is not None:
        write(module.partition(":")[0].partition(".")[0], text)
    with pytest.raises(ValueError, match=f"^--loss {module}.*{message}") as error:
        find_part_by_name(module, flag="--loss")
    assert "\n" not in str(error.value)


def test_modules_in_a_folder_are_not_run(write: Write, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    text = f"open({str(ran)!r}, 'w').close()\nX = 1"
    write("own_hidden", text)
    write("own_outer.__init__", "")
    (tmp_path / "own_outer" / "model").mkdir()
    (tmp_path / "own_outer" / "model" / "nets.py").write_text(text)
    for name, folder in (
        ("own_hidden:X", tmp_path),
        ("own_outer.model.nets:X", tmp_path / "own_outer" / "model"),
    ):
        with pytest.raises(ValueError, match="beside the model"):
            find_part_by_name(name, flag="--arch", not_in=folder)
    assert not ran.exists()
    assert find_part_by_name("own_hidden:X", flag="--arch", not_in=tmp_path / "run") == 1


def test_names_lead_back() -> None:
    assert name_of(tiny_parts.TinyNet) == "tiny_parts:TinyNet"
    assert name_of(tiny_parts.turns) == "albumentations.core.composition:Compose"
    assert is_importable(tiny_parts.tiny_loss)
    assert not is_importable(tiny_parts.turns)
    assert not is_importable(lambda: None)

    class Local:
        pass

    assert not is_importable(Local)
    assert is_own_name(name_of(Local))


def test_only_the_keywords_that_are_taken() -> None:
    options = {"a": 1, "b": 2}
    assert accepted(lambda a: None, options) == {"a": 1}
    assert accepted(lambda a, **more: None, options) == options
    assert accepted(lambda b, /: None, options) == {}
