from tiramisu.text import did_you_mean, format_table, in_one_line, list_some


def test_did_you_mean_names_the_closest_or_nothing() -> None:
    assert did_you_mean("fc107", ["fc56", "fc103", "densenet121"]) == "; did you mean fc103?"
    assert did_you_mean("resnet", ["fc56", "fc103"]) == ""


def test_a_text_of_others_is_one_line_and_not_long() -> None:
    assert in_one_line(" a\r\nb\tc ") == "a b c"
    assert in_one_line("x" * 300, most=5) == "xxxxx..."


def test_list_some_counts_what_it_leaves_out() -> None:
    assert list_some(["a", "b", "c"], most=3) == "a, b, c"
    assert list_some(["a", "b", "c", "d", "e"], most=3) == "a, b, c and 2 more"
    assert list_some([], most=3) == ""


def test_tables_align_names_left_and_numbers_right() -> None:
    rows = [["class", "IoU"], ["sky", "9.5"], ["building", "71.0"]]
    assert format_table(rows) == "class      IoU\nsky        9.5\nbuilding  71.0"
    assert format_table([["a", ""], ["bc", "d"]], left=2) == "a\nbc  d"
