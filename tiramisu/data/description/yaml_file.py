"""YAML files with the line of every value, so that an error names file, line and fix."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tiramisu.data.entry import Place


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
            self.content: Any = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise ValueError(f"{path}{line}: not YAML: {error.problem}") from error
        except (ValueError, yaml.YAMLError) as error:  # ValueError: such as the day 2024-13-45
            raise ValueError(f"{path}: not YAML: {error}") from error
        self._find_lines(node, ())

    def explain(self, place: Place, problem: str, other: Place | None = None) -> ValueError:
        """The error with the file, the line, the keys that lead there and the problem.

        Args:
            place: where it is.
            problem: what came, and what was expected.
            other: a place that it has to do with; its line ends the message.
        """
        keys = ".".join(part for part in place if isinstance(part, str))
        end = "" if other is None else f" in line {self.line(other)}"
        where = f"{self.path}, line {self.line(place)}"
        return ValueError(f"{where}: {keys + ': ' if keys else ''}{problem}{end}")

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
