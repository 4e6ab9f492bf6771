from pathlib import Path

import pytest

from tiramisu.text import did_you_mean, format_table, in_one_line, list_some, path_text, show_path


def test_did_you_mean_names_the_closest_or_nothing() -> None:
    assert did_you_mean("fc107", ["fc56", "fc103", "densenet121"]) == "; did you mean fc103?"
    assert did_you_mean("resnet", ["fc56", "fc103"]) == ""


def test_a_text_of_others_is_one_line_and_not_long() -> None:
    assert in_one_line(" a\r\nb\tc ") == "a b c"
    assert in_one_line("x" * 300, most=5) == "xxxxx ..."


def test_list_some_counts_what_it_leaves_out() -> None:
    assert list_some(["a", "b", "c"], most=3) == "a, b, c"
    assert list_some(["a", "b", "c", "d", "e"], most=3) == "a, b, c and 2 more"
    assert list_some([], most=3) == ""


def test_tables_align_names_left_and_numbers_right() -> None:
    rows = [["class", "IoU"], ["sky", "9.5"], ["building", "71.0"]]
    assert format_table(rows) == "class      IoU\nsky        9.5\nbuilding  71.0"
    assert format_table([["a", ""], ["bc", "d"]], left=2) == "a\nbc  d"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"photo.png", "photo.png"),
        ("\u6f22 \U0001f680.png".encode(), "\u6f22 \U0001f680.png"),
        (b"\xff.png", r"\xff.png"),
        (b"a\nb\r\x1b[2J\x7f.png", r"a\nb\r\x1b[2J\x7f.png"),
    ],
)
def test_paths_are_shown_on_one_line_of_text(name: bytes, shown: str) -> None:
    path = Path(name.decode("utf-8", "surrogateescape"))
    assert show_path(path) == shown
    assert path_text(path) == name.decode("utf-8", "backslashreplace")
