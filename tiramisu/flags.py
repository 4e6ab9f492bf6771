"""The command line's parser: flags from the fields of a configuration, help and errors to read."""

import difflib
import re
from argparse import SUPPRESS, Action
from typing import NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter, set_parsing_settings

KINDS = {
    r"\btuple\b": "two numbers, such as [224,224]",
    r"\blist\b": "a list, such as [a,b]",
    r"\bint\b": "a whole number",
    r"\bfloat\b": "a number",
    r"\bbool\b": "true or false",
    r"NoneType": "null",
}
"""What to expect, by what jsonargparse says of it."""


class Formatter(DefaultHelpFormatter):
    """Help without Python's type names: the text and the default say what is meant."""

    def _get_help_string(self, action: Action) -> str:
        has_default = action.option_strings and action.default not in (None, SUPPRESS)
        return f"{action.help} (default: %(default)s)" if has_default else str(action.help)


class Parser(ArgumentParser):
    """jsonargparse's parser, with --dashed-names beside underscored ones and one-line errors."""

    def __init__(self, command: str, *, description: str, usage: str | None = None) -> None:
        set_parsing_settings(docstring_parse_attribute_docstrings=True)
        super().__init__(
            prog=f"tiramisu {command}",
            description=description,
            usage=usage,
            formatter_class=Formatter,
        )

    def add_config(self, config: type) -> None:
        """Add a flag for each field of a configuration."""
        self.add_class_arguments(config)
        for action in self._actions:
            if action.metavar is None and not isinstance(action.default, bool):
                short = {int: "N", float: "X"}.get(type(action.default), "VALUE")
                action.metavar = {"crop": "[H,W]", "scale": "[MIN,MAX]"}.get(action.dest, short)
            # The field `data_root` is read from YAML under its own name, and shown as --data-root.
            names = [n for n in action.option_strings if "_" in n and n != "--print_config"]
            for name in names:
                dashed = name.replace("_", "-")
                self._option_string_actions[dashed] = action
                action.option_strings = [dashed]
            # A switch may be given bare: --compile stands for --compile true.
            if isinstance(action.default, bool) and action.nargs is None:
                action.nargs, action.const = "?", True

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        message = message.replace("<class '", "").replace("'>", "")
        unknown = re.search(r"(?:Option '|unrecognized arguments: --)([\w-]+)", message)
        if unknown is not None:
            names = [name.lstrip("-") for name in self._option_string_actions]
            close = difflib.get_close_matches(unknown.group(1), names, n=1, cutoff=0.7)
            message += f"; did you mean --{close[0]}?" if close else ""
        message = re.sub(r'Parser key "([\w.]+)":', r"--\1:", " ".join(message.split()))
        raise ValueError(_name_what_was_expected(message))


def _name_what_was_expected(message: str) -> str:
    """Turn jsonargparse's words about types of Python into those of our other errors."""
    found = re.search(r"--([\w.]+): (.*)(?:Got|Given) value: (.*)$", message)
    if found is None:
        return message
    name, types, value = found.groups()
    types = re.sub(r"(tuple|list)\[.*?\]", r"\1", types)  # what is in them is said in an example
    literal = re.search(r"Literal\[(.*?)\]", types)
    expected = re.findall(r"'([^']*)'", literal.group(1)) if literal else []
    expected += [words for kind, words in KINDS.items() if re.search(kind, types)]
    if not expected:
        return message
    return f"--{name.replace('_', '-')} is {value}; expected {', '.join(expected)}"
