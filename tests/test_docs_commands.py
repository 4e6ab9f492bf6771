"""Every command in README.md and docs/ is one: its name, its flags, and their values."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doc_pages import CLONE, PAGES, find_blocks, find_inline, name_of

from tiramisu import commands
from tiramisu.flags import Parser


class ParsedError(Exception):
    """A command line was understood."""


@pytest.fixture
def understand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Parses a command line with the parser of its command, and does not run it."""
    parse = Parser.parse_flags

    def only_parse(parser: Parser, argv: Any) -> dict[str, Any]:
        parse(parser, argv)
        raise ParsedError

    monkeypatch.setattr(Parser, "parse_flags", only_parse)
    monkeypatch.chdir(tmp_path)

    def run(line: str) -> None:
        _, command, *argv = shlex.split(line, comments=True)
        with pytest.raises(ParsedError):
            commands.COMMANDS[command](argv)

    return run


def as_command(line: str) -> str | None:
    """A line of a shell as `tiramisu COMMAND ...`; None if it is one of another program."""
    for part in line.split("&&"):
        words = part.strip()
        if words.startswith("python tools/"):
            tool = words.split()[1].removeprefix("tools/")
            source = (CLONE / "tools" / tool).read_text()
            command = re.search(r"\"(\w+)\"", source.split("run(")[-1])
            assert command is not None, f"{tool} calls no command"
            return f"tiramisu {command[1]} {words.partition(tool)[2]}"
        if words.startswith("tiramisu "):
            return words
    return None


def list_lines(page: Path) -> Iterator[str]:
    """The commands of Tiramisu in the blocks of a page."""
    for block in find_blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if (command := as_command(line)) is not None:
                yield command


LINES = [(name_of(page), line) for page in PAGES for line in list_lines(page)]


def test_the_two_commands_of_the_readme_stay_two() -> None:
    readme = (CLONE / "README.md").read_text()
    start = readme.split("\n## Start\n")[1]
    assert re.findall(r"```sh\n(.*?)```", start, re.DOTALL)[:2] == [
        "git clone URL-OF-THIS-REPOSITORY tiramisu-seg && cd tiramisu-seg\n",
        "pip install -e . && python tools/train_seg.py --arch fc56 --data streets\n",
    ]
    assert len(readme.splitlines()) <= 125


def test_the_pages_have_commands() -> None:
    assert len(LINES) > 40
    assert any("tools/" not in line and " export " in line for _, line in LINES)


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{p}: {line}" for p, line in LINES])
def test_a_line_is_understood(page: str, line: str, understand) -> None:
    understand(line)


def test_a_wrong_line_would_be_found(understand) -> None:
    for line in ("tiramisu train --lrr 1", "tiramisu eval --limit -1 --checkpoint x"):
        with pytest.raises(ValueError, match=r"--lrr|limit"):
            understand(line)
    with pytest.raises(KeyError):
        understand("tiramisu trian")


@pytest.fixture
def flags_of(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """The flags of each command."""
    found: dict[str, set[str]] = {}

    def collect(parser: Parser, argv: Any) -> dict[str, Any]:
        found[parser.prog.split()[1]] = set(parser._option_string_actions)
        raise ParsedError

    monkeypatch.setattr(Parser, "parse_flags", collect)
    for command in commands.COMMANDS.values():
        with pytest.raises(ParsedError):
            command([])
    return found


def test_every_flag_and_command_in_a_sentence_exists(flags_of: dict[str, set[str]]) -> None:
    assert flags_of.keys() == commands.COMMANDS.keys()
    assert {"--limit", "--data-root", "--metrics"} <= flags_of["eval"]
    known = set[str]().union(*flags_of.values())
    wrong = []
    for page in PAGES:
        for code in find_inline(page):
            words = (as_command(code) or code).split()
            allowed = known
            if words[:1] == ["tiramisu"] and len(words) > 1 and not words[1].startswith("-"):
                if words[1] not in [*flags_of, "COMMAND"]:
                    wrong.append(f"{name_of(page)}: {code}")
                allowed = flags_of.get(words[1], known)
            elif not code.startswith("--"):
                continue  # another program
            flags = (word.partition("=")[0] for word in words if word.startswith("--"))
            wrong += [f"{name_of(page)}: {code}" for flag in flags if flag not in allowed]
    assert wrong == []


def test_every_command_is_named_on_the_first_page() -> None:
    start = (CLONE / "docs/index.md").read_text()
    table = start.split("\n## The commands\n")[1].split("\n## ")[0]
    for name in commands.COMMANDS:
        assert re.search(rf"`(tiramisu )?{name}`", table), f"docs/index.md does not name {name}"
