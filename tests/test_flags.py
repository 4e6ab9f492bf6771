"""Flags: a name that is not exactly a flag is refused with the right one, in every command."""

import pytest

from tiramisu import cli, commands

ARGUMENTS = {
    "train": [],
    "train_cls": [],
    "plan": ["streets"],
    "folds": [],
    "folds_cls": [],
    "eval": ["--checkpoint", "x"],
    "eval_cls": ["--checkpoint", "x"],
    "predict": ["x.png", "--checkpoint", "x"],
    "predict_cls": ["x.png", "--checkpoint", "x"],
    "export": ["--checkpoint", "x"],
    "publish": ["--checkpoint", "x", "--out", "y"],
    "benchmark": [],
    "summary": [],
    "runs": [],
    "compare": ["x", "y"],
    "check": ["streets"],
    "convert": ["streets", "out"],
    "download": ["camvid"],
}
ABBREVIATED = {
    "train": ("--epoch", "--epochs"),
    "train_cls": ("--arc", "--arch"),
    "plan": ("--minute", "--minutes"),
    "folds": ("--epoch", "--epochs"),
    "folds_cls": ("--arc", "--arch"),
    "eval": ("--spli", "--split"),
    "eval_cls": ("--accel", "--accelerator"),
    "predict": ("--ti", "--tile"),
    "predict_cls": ("--to", "--top"),
    "export": ("--form", "--format"),
    "publish": ("--pus", "--push"),
    "benchmark": ("--round", "--rounds"),
    "summary": ("--num", "--num-classes"),
    "runs": ("--repor", "--report"),
    "compare": ("--spli", "--split"),
    "check": ("--unlab", "--unlabelled"),
    "convert": ("--over", "--overwrite"),
    "download": ("--data", "--data-root"),
}


@pytest.fixture
def fails(capsys, monkeypatch, tmp_path):
    """Runs a command in an empty folder; returns the one line that it must end with."""
    monkeypatch.chdir(tmp_path)

    def run(command: str, *argv: str) -> str:
        with pytest.raises(SystemExit) as exit_info:
            cli.run(command, argv)
        message = capsys.readouterr().err.strip()
        assert exit_info.value.code == 2
        assert len(message.splitlines()) == 1
        assert not any(tmp_path.iterdir())
        return message

    return run


def test_every_command_is_tried() -> None:
    assert ARGUMENTS.keys() == ABBREVIATED.keys() == commands.COMMANDS.keys()


@pytest.mark.parametrize("form", ["{} 3", "{}=3"])
@pytest.mark.parametrize("command", ABBREVIATED)
def test_an_abbreviation_is_refused_with_the_right_name(command: str, form: str, fails) -> None:
    short, name = ABBREVIATED[command]
    message = fails(command, *ARGUMENTS[command], *form.format(short).split())
    assert short in message
    assert f"did you mean {name}" in message


@pytest.mark.parametrize(
    "word", ["--conf", "--resum=x", "--dat=camvid", "--arc", "--print_conf", "--compil", "--hel"]
)
def test_an_abbreviation_is_no_way_past_the_recipes(word: str, fails) -> None:
    assert "did you mean" in fails("train", word)


@pytest.mark.parametrize(
    "argv",
    [
        ["--epochs", "3", "--epochs", "4"],
        ["--epochs=3", "--epochs", "4"],
        ["--data", "streets", "--data=camvid"],
        ["--batch-size", "3", "--batch_size", "4"],
        ["--config", "camvid_fc56", "--config", "camvid_fc67"],
        ["--compile", "--compile"],
    ],
    ids=" ".join,
)
def test_a_flag_given_twice_is_refused(argv: list[str], fails) -> None:
    message = fails("train", *argv)
    assert argv[0].partition("=")[0].replace("_", "-") in message.replace("_", "-")
    assert "given twice" in message


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--epochs"], "--epochs: expected one argument"),
        (["--config", "--print_config"], "--config: expected one argument"),
        (["--lr", "--epochs", "3"], "--lr: expected one argument"),
        (["--dropout.rate", "3"], "--dropout.rate"),
        (["--flip=", "x"], "--flip is ''; expected true or false"),
        (["--out="], "--out is ''; expected printable text"),
        (["--resume="], "--resume is ''; expected printable text"),
        (["--out", "a\nb"], r"--out is 'a\nb'; expected printable text"),
        (["--out", "\udcff"], r"--out is '\udcff'; expected printable text"),
        (["--lr", "9" * 400], "--lr has a number of more than 300 digits"),
        ([f"--epochs={'9' * 5000}"], "--epochs has a number of more than 300 digits"),
        (["--crop", "[" * 100_000], "--crop is [[["),
        (["--crop", "&a [*a,*a]"], "--crop is [[...], [...]]; expected two numbers"),
        (["--crop", "!!python/object/apply:os.mkdir [x]"], "--crop is !!python"),
        (["epochs"], "unrecognized arguments: epochs"),
        (["--", "--epochs"], "unrecognized arguments"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_values_that_are_none(argv: list[str], expected: str, fails) -> None:
    message = fails("train", *argv)
    assert expected in message
    assert len(message) < 1000


@pytest.mark.parametrize("command", ["check", "download"])
def test_the_name_of_a_data_set_is_no_empty_text(command: str, fails) -> None:
    assert "--data is ''; expected printable text" in fails(command, "")


def test_help_has_the_ranges(capsys) -> None:
    with pytest.raises(SystemExit):
        cli.run("train", ["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "Height and width of random training crops, in pixels; null trains on whole" in shown
    assert "(32 to 16384)" in shown


def test_the_size_of_a_summary(fails) -> None:
    assert "--size is (0, 5); expected two numbers, 1 to" in fails("summary", "--size", "[0,5]")
