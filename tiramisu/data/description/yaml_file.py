"""YAML files with the line of every value, so that an error names file, line and fix."""

from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

Place = tuple[str | int, ...]
"""Where a value is in the file: ("classes", 3, "color")."""
Model = TypeVar("Model", bound=BaseModel)

_MESSAGES = {  # by pydantic's error type
    "list_type": "expected a list, not {input!r}",
    "dict_type": "expected `key: value` lines, not {input!r}",
    "string_type": "expected text, not {input!r}; put it in quotes",
    "string_pattern_mismatch": "expected text, not {input!r}; put it in quotes",
    "int_type": "expected a whole number, not {input!r}",
    "float_type": "expected a number, not {input!r}",
    "greater_than_equal": "expected a number from {ge} up, not {input!r}",
    "too_short": "no split; a data set needs at least train and val",
    "literal_error": "expected {expected}, not {input!r}",
}


class YamlFile:
    """The content of a YAML file, and the line of every value in it.

    Args:
        path: the file.

    Raises:
        ValueError: the file is not YAML, or gives a key twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Place, int] = {}
        try:
            text = path.read_text(encoding="utf-8")
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            self._find_lines(node, ())
            self.content: Any = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise ValueError(f"{path}{line}: not YAML: {error.problem}") from error
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            raise ValueError(f"{path}: not YAML: {error}") from error

    def validate(self, model: type[Model]) -> Model:
        """The content as a pydantic model.

        Raises:
            ValueError: the content does not fit; the message names the first mistake in the file.
        """
        try:
            return model.model_validate(self.content)
        except ValidationError as error:
            first = min(error.errors(include_url=False), key=lambda e: self.line(e["loc"]))
            context = first.get("ctx", {})
            own = context.get("error")  # raised by a validator of ours
            problem = own or _MESSAGES.get(first["type"], first["msg"]).format(
                input=first["input"],
                ge=context.get("ge"),
                expected=str(context.get("expected")).replace("'", ""),
            )
            self.fail((*first["loc"], *getattr(own, "place", ())), str(problem))

    def require_distinct(self, items: Iterable[tuple[Place, Hashable]]) -> None:
        """Raise ValueError if two places hold the same item."""
        seen: dict[Hashable, Place] = {}
        for place, item in items:
            if item in seen:
                self.fail(place, f"{item} is used already in line {self.line(seen[item])}")
            seen[item] = place

    def fail(self, place: Place, problem: str) -> NoReturn:
        """Raise ValueError with the file, the line, the keys that lead there and the problem."""
        keys = ".".join(part for part in place if isinstance(part, str))
        raise ValueError(
            f"{self.path}, line {self.line(place)}: {keys + ': ' if keys else ''}{problem}"
        )

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest place around it that the file has."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def _find_lines(self, node: yaml.Node | None, place: Place) -> None:
        if node is None:
            return
        self.lines.setdefault(place, node.start_mark.line + 1)
        for key, mark, child in _children(node):
            here = (*place, key)
            if here in self.lines:  # YAML itself would silently keep the second value
                raise ValueError(
                    f"{self.path}, line {mark.line + 1}: {key} is given twice "
                    f"(first in line {self.lines[here]}); remove one"
                )
            self.lines[here] = mark.line + 1
            self._find_lines(child, here)


def _children(node: yaml.Node) -> Iterator[tuple[str | int, yaml.Mark, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            yield str(key.value), key.start_mark, child
    elif isinstance(node, yaml.SequenceNode):
        for i, child in enumerate(node.value):
            yield i, child.start_mark, child
