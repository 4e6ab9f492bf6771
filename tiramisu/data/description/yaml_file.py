"""YAML files whose values are checked one by one: every error names file, line and fix."""

import difflib
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

Place = tuple[str | int, ...]  # where a value is in the file: ("classes", 3, "color")


class YamlFile:
    """A YAML file: its `content`, and the line of every value in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Place, int] = {}
        try:
            text = path.read_text(encoding="utf-8")
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            self._find_lines(node, ())
            self.content = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise ValueError(f"{path}{line}: not YAML: {error.problem}.") from error
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            raise ValueError(f"{path}: not YAML: {error}.") from error

    def mapping(
        self,
        place: Place,
        value: Any,
        *,
        required: Sequence[str] = (),
        optional: Sequence[str] = (),
    ) -> Mapping[str, Any]:
        """A mapping; if keys are given, with all of the required ones and no unknown one."""
        if not isinstance(value, dict):
            self.fail(place, f"expected `key: value` lines, not {value!r}")
        known = (*required, *optional)
        for key in value if known else ():
            if key not in known:
                close = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
                self.fail((*place, key), f"unknown key {key!r}; {hint}")
        missing = [key for key in required if key not in value]
        if missing:
            self.fail(place, f"missing: {', '.join(missing)}")
        return value

    def sequence(self, place: Place, value: Any) -> list[Any]:
        if not isinstance(value, list):
            self.fail(place, f"expected a list, not {value!r}")
        return value

    def text(self, place: Place, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            self.fail(place, f"expected text, not {value!r}; put it in quotes")
        return value

    def choice(self, place: Place, value: Any, choices: Sequence[str]) -> Any:
        if value not in choices:
            self.fail(place, f"expected {' or '.join(choices)}, not {value!r}")
        return value

    def number(self, place: Place, value: Any, kind: type, minimum: int) -> Any:
        wanted = int if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, wanted) or value < minimum:
            self.fail(place, f"expected a number from {minimum} up, not {value!r}")
        return kind(value)

    def distinct(self, items: Iterable[tuple[Place, Hashable]]) -> None:
        seen: dict[Hashable, Place] = {}
        for place, item in items:
            if item in seen:
                self.fail(place, f"{item} is used already in line {self.line(seen[item])}")
            seen[item] = place

    def fail(self, place: Place, problem: str) -> NoReturn:
        where = ".".join(str(part) for part in place if isinstance(part, str))
        raise ValueError(
            f"{self.path}, line {self.line(place)}: {where + ': ' if where else ''}{problem}."
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
            if here in self.lines:  # YAML itself would silently keep the later one
                raise ValueError(
                    f"{self.path}, line {mark.line + 1}: {key} is given twice "
                    f"(first in line {self.lines[here]}); remove one."
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
