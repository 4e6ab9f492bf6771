"""The command line's parser: a flag for each setting, help and errors that can be read."""

import re
from argparse import SUPPRESS, Action
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter, set_parsing_settings

from tiramisu.settings import describe, describe_range, explain_kind, is_valid, list_words, show
from tiramisu.text import did_you_mean, in_one_line

LONG_NUMBER = re.compile(r"\d{301}")
PRINT_CONFIG = "--print_config"
ONLY_FLAGS = ("help", "config", "print_config", "download", "resume", "minutes", "memory")
METAVARS = {
    "crop": "[H,W]",
    "size": "[H,W]",
    "scale": "[MIN,MAX]",
    "data_root": "DIR",
    "graph": "FILE",
}


class Formatter(DefaultHelpFormatter):
    """Help with the range of a number and the default, without Python's names of types."""

    def _get_help_string(self, action: Action) -> str:
        notes = [describe_range(_type_of(action))]
        if action.option_strings and action.default not in (None, SUPPRESS):
            notes.append("default: %(default)s")
        note = "; ".join(filter(None, notes))
        return f"{action.help} ({note})" if note else str(action.help)


class Parser(ArgumentParser):
    """jsonargparse's parser with --dashed-names, and errors of one line.

    A flag is given by its full name, and once: what is not taken is refused.
    """

    def __init__(self, command: str, *, description: str, usage: str | None = None) -> None:
        set_parsing_settings(docstring_parse_attribute_docstrings=True)
        super().__init__(
            prog=f"tiramisu {command}",
            description=description,
            usage=usage,
            formatter_class=Formatter,
            allow_abbrev=False,
            print_config=None,  # ours knows the ranges of the settings
        )

    def add_data(self) -> None:
        """Add the argument DATA, which is not a flag."""
        self.add_argument(
            "data",
            type=str,
            metavar="DATA",
            help="Data set: a name that comes with the package, a YAML file, or a folder",
        )

    def add_config(self, config: type) -> None:
        """Add a flag for each field of a settings class that the parser does not have yet."""
        self.add_class_arguments(config, skip={action.dest for action in self._actions})
        for action in self._actions:
            if action.dest in METAVARS:
                action.metavar = METAVARS[action.dest]
            elif action.metavar is None and not isinstance(action.default, bool):
                action.metavar = {int: "N", float: "X"}.get(type(action.default), "VALUE")
            # jsonargparse adds --NAME+, which appends to a list: it works, but is not shown.
            action.option_strings = [n for n in action.option_strings if not n.endswith("+")]
            # The field `data_root` is called so in YAML, and --data-root on the command line.
            names = [n for n in action.option_strings if "_" in n and n != PRINT_CONFIG]
            for name in names:
                dashed = name.replace("_", "-")
                self._option_string_actions[dashed] = action
                action.option_strings = [dashed]
            # A switch may be given bare: --compile stands for --compile true.
            if isinstance(action.default, bool) and action.nargs is None:
                action.nargs, action.const = "?", True

    def parse_flags(self, argv: Sequence[str]) -> dict[str, Any]:
        """The value of every flag and argument, by its name with underscores.

        Raises:
            ValueError: a flag is unknown, is given twice, or has no value of its type.
        """
        for before, word in pairwise(["", *argv]):
            if LONG_NUMBER.search(word):  # Python raises various errors for them
                name = (word if "=" in word else before).partition("=")[0]
                raise ValueError(f"{name} has a number of more than 300 digits; expected fewer")
        flags = argv[: argv.index("--")] if "--" in argv else argv  # inputs follow after --
        given = [word.partition("=")[0] for word in flags if word.startswith("--")]
        actions = [self._option_string_actions.get(name) for name in given]
        for i, action in enumerate(actions):
            if action is not None and action in actions[:i]:
                raise ValueError(f"{given[i]} is given twice; give it once")
            if action is None and "." in given[i]:  # jsonargparse takes --NAME.PART
                self.error(f"unrecognized arguments: {given[i]}")
        for action in self._actions:  # jsonargparse's own completers have no words for a Literal
            action.completer = partial(_complete, _type_of(action))  # type: ignore[attr-defined]
        try:
            values = dict(self.parse_args(argv).as_dict())
        except RecursionError:
            raise ValueError("a value has too many levels of brackets") from None
        except (TypeError, AttributeError, LookupError) as error:  # such as --lr="!!int x"
            raise ValueError(f"a value is not YAML ({in_one_line(error)})") from None
        for action in self._actions:
            kind = _type_of(action)
            if action.dest in values and kind and not is_valid(values[action.dest], kind):
                raise ValueError(explain_kind(action.dest, values[action.dest], kind))
        return values

    def given(self, argv: Sequence[str]) -> set[str]:
        """The names of the flags in a command line, with underscores."""
        words = (word.partition("=")[0] for word in argv if word.startswith("--"))
        actions = (self._option_string_actions.get(word) for word in words)
        return {action.dest for action in actions if action is not None}

    def parse_setting(self, name: str, value: object) -> Any:
        """The value of one flag, as a YAML file holds it, in the flag's type.

        Raises:
            ValueError: there is no such flag, or it may not have this value.
        """
        flags = {action.dest: action for action in self._actions if action.dest not in ONLY_FLAGS}
        if name not in flags:
            raise ValueError(f"there is no such setting{did_you_mean(name, flags)}")
        kind = _type_of(flags[name]) or bool
        try:
            parsed = self.parse_object({name: value}, defaults=False)[name]
        except (ValueError, OverflowError, RecursionError):
            parsed = value
        if not is_valid(parsed, kind):
            raise ValueError(f"expected {describe(kind)}, not {show(value)}")
        return parsed

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        message = " ".join(message.replace("<class '", "").replace("'>", "").split())
        unknown = re.search(r"(?:Option '|unrecognized arguments: --)([\w-]+)", message)
        if unknown is not None:
            flags = [name for action in self._actions for name in action.option_strings]
            given = f"--{unknown.group(1).replace('_', '-')}"
            longer = " or ".join(flag for flag in flags if flag.startswith(given))
            message += f"; did you mean {longer}?" if longer else did_you_mean(given, flags)
        missing = re.fullmatch(r"the following arguments are required: (\w+).*", message)
        if missing is not None:
            action = next(action for action in self._actions if action.dest == missing.group(1))
            name = action.option_strings[0] if action.option_strings else action.metavar
            message = f"{name} is missing; see {self.prog} --help"
        message = re.sub(r'Parser key "([\w.]+)":', r"--\1:", message)
        raise ValueError(self._say_what_was_expected(message))

    def _say_what_was_expected(self, message: str) -> str:
        """Turn jsonargparse's error about a value of the wrong type into one of ours."""
        found = re.search(r"--([\w.]+): .*(?:Got|Given) value:\s*(.*)$", message)
        if found is None:
            return message
        name, value = found.groups()
        action = next(action for action in self._actions if action.dest == name)
        return explain_kind(name, value, _type_of(action))


def _complete(kind: Any, *, prefix: str, **_: object) -> list[str]:
    """What argcomplete offers as a value of this type: its words, or files where it is text."""
    if kind is not None and not is_valid("text", kind):
        return list_words(kind)
    from argcomplete.completers import FilesCompleter

    return sorted(FilesCompleter()(prefix))


def _type_of(action: Action) -> Any:
    """The type of a flag's value, with its range: jsonargparse keeps all but the plainest apart."""
    return getattr(action, "_typehint", action.type)
