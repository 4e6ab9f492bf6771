"""YAML files with the line of every value, so that an error names file, line and fix."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tiramisu.data.entry import Place

MAX_DEPTH = 30
MAX_VALUES = 1_000_000


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
            excess = _find_excess(text)
            if not excess:
                node = yaml.compose(text, Loader=yaml.SafeLoader)
                self.content: Any = _load(text)
                self._find_lines(node, ())
        except yaml.MarkedYAMLError as error:
            line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise ValueError(f"{path}{line}: not YAML: {error.problem}") from error
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(f"{path}: not YAML: {reason}") from error
        except RecursionError:
            excess = f"expected at most {MAX_DEPTH} levels"
        if excess:
            raise ValueError(f"{path}: {excess}")

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


def _load(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except ValueError as error:  # such as the day 2024-13-45
        raise yaml.YAMLError(str(error)) from error


def _find_excess(text: str) -> str:
    """What is too deep or too large in a YAML, all aliases (*name) included; "" if nothing is."""
    count = 0
    sizes: dict[str | None, int] = {}  # of what each anchor stands for
    opened: list[tuple[str | None, int]] = []
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            count += sizes.get(event.anchor, MAX_VALUES)  # there is no end if it is inside itself
        elif isinstance(event, yaml.NodeEvent):
            count += 1
            if isinstance(event, yaml.CollectionStartEvent):
                opened.append((event.anchor, count))
            elif event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, start = opened.pop()
            if anchor is not None:
                sizes[anchor] = count - start + 1
        if len(opened) > MAX_DEPTH:
            return f"line {line} is too deep; expected {MAX_DEPTH} levels at most"
        if count >= MAX_VALUES:
            return (
                f"too many values in line {line}, aliases (*name) included; "
                f"expected fewer than {MAX_VALUES:,}"
            )
    return ""
