"""The command line's parser: a flag for each setting, help and errors that can be read."""

import copy
import re
from argparse import SUPPRESS, Action
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter, set_parsing_settings

from tiramisu.settings import describe, describe_range, explain
from tiramisu.text import did_you_mean

METAVARS = {"crop": "[H,W]", "scale": "[MIN,MAX]"}


class Formatter(DefaultHelpFormatter):
    """Help with the range of a number and the default, without Python's names of types."""

    def _get_help_string(self, action: Action) -> str:
        notes = [describe_range(_type_of(action))]
        if action.option_strings and action.default not in (None, SUPPRESS):
            notes.append("default: %(default)s")
        note = "; ".join(filter(None, notes))
        return f"{action.help} ({note})" if note else str(action.help)

    def _format_action_invocation(self, action: Action) -> str:
        # jsonargparse adds --NAME+ to every list, which appends to it: it works, but is not shown.
        shown = copy.copy(action)
        shown.option_strings = [n for n in action.option_strings if not n.endswith("+")]
        return super()._format_action_invocation(shown)


class Parser(ArgumentParser):
    """jsonargparse's parser with --dashed-names, and errors of one line."""

    def __init__(self, command: str, *, description: str, usage: str | None = None) -> None:
        set_parsing_settings(docstring_parse_attribute_docstrings=True)
        super().__init__(
            prog=f"tiramisu {command}",
            description=description,
            usage=usage,
            formatter_class=Formatter,
        )

    def add_config(self, config: type) -> None:
        """Add a flag for each field of a settings class."""
        self.add_class_arguments(config)
        for action in self._actions:
            if action.dest == "print_config":
                action.help = "Print the resulting settings as YAML, and exit"
            if action.dest in METAVARS:
                action.metavar = METAVARS[action.dest]
            elif action.metavar is None and not isinstance(action.default, bool):
                action.metavar = {int: "N", float: "X"}.get(type(action.default), "VALUE")
            # The field `data_root` is called so in YAML, and --data-root on the command line.
            names = [n for n in action.option_strings if "_" in n and n != "--print_config"]
            for name in names:
                dashed = name.replace("_", "-")
                self._option_string_actions[dashed] = action
                action.option_strings = [dashed]
            # A switch may be given bare: --compile stands for --compile true.
            if isinstance(action.default, bool) and action.nargs is None:
                action.nargs, action.const = "?", True

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        message = " ".join(message.replace("<class '", "").replace("'>", "").split())
        unknown = re.search(r"(?:Option '|unrecognized arguments: --)([\w-]+)", message)
        if unknown is not None:
            flags = [name for action in self._actions for name in action.option_strings]
            message += did_you_mean(f"--{unknown.group(1).replace('_', '-')}", flags)
        missing = re.fullmatch(r"the following arguments are required: (\w+).*", message)
        if missing is not None:
            action = next(action for action in self._actions if action.dest == missing.group(1))
            name = action.option_strings[0] if action.option_strings else action.metavar
            message = f"{name} is missing; see {self.prog} --help"
        message = re.sub(r'Parser key "([\w.]+)":', r"--\1:", message)
        raise ValueError(self._say_what_was_expected(message))

    def _say_what_was_expected(self, message: str) -> str:
        """Turn jsonargparse's error about a value of the wrong type into one of ours."""
        found = re.search(r"--([\w.]+): .*(?:Got|Given) value: (.*)$", message)
        if found is None:
            return message
        name, value = found.groups()
        action = next(action for action in self._actions if action.dest == name)
        return explain(name, value, describe(_type_of(action)))


def _type_of(action: Action) -> Any:
    """The type of a flag's value, with its range: jsonargparse keeps all but the plainest apart."""
    return getattr(action, "_typehint", action.type)
