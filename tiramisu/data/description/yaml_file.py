"""YAML files with the line of every value, so that an error names file, line and fix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tiramisu.data.entry import Place
from tiramisu.data.plain_file import read_text

MAX_DEPTH = 30
MAX_VALUES = 1_000_000


class YamlFile:
    """The content of a YAML file, and the line of every value in it.

    Args:
        path: the file.
        kind: what it should hold, for messages.

    Raises:
        ValueError: the file is not YAML, or gives a key twice.
    """

    def __init__(self, path: Path, *, kind: str) -> None:
        self.path = path
        self.lines: dict[Place, int] = {}
        try:
            text = read_text(path, kind=kind)
            excess = _find_excess(text)
            if not excess:
                self.content: Any = self._read(text)
        except yaml.MarkedYAMLError as error:
            line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise ValueError(f"{path}{line}: not YAML: {error.problem}") from error
        except yaml.YAMLError as error:
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

    def _read(self, text: str) -> Any:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        self._find_lines(node, ())
        try:
            return None if node is None else loader.construct_document(node)
        # Such as the day 2024-13-45, or `!!int x`.
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise yaml.YAMLError(str(error)) from error

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


@dataclass
class _Collection:
    anchor: str | None = None
    size: int = 1
    """Number of values in it, itself included."""
    levels: int = 0
    """Number of levels of further collections in it."""

    def add(self, child: _Collection) -> None:
        self.size += child.size
        self.levels = max(self.levels, child.levels + 1)


def _find_excess(text: str) -> str:
    """What is too deep or too large in a YAML, all aliases (*name) included; "" if nothing is."""
    endless = _Collection(size=MAX_VALUES)  # an alias inside of what it stands for
    opened = [_Collection()]
    closed: dict[str | None, _Collection] = {}
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append(_Collection(event.anchor))
            closed[event.anchor] = endless
        elif isinstance(event, yaml.CollectionEndEvent):
            done = opened.pop()
            closed[done.anchor] = done
            opened[-1].add(done)
        elif isinstance(event, yaml.AliasEvent):
            opened[-1].add(closed.get(event.anchor, endless))
        elif isinstance(event, yaml.ScalarEvent):
            opened[-1].size += 1
            closed[event.anchor] = _Collection()
        line = event.start_mark.line + 1 if event.start_mark else 1
        if len(opened) + opened[-1].levels > MAX_DEPTH:
            return f"line {line} is too deep; expected {MAX_DEPTH} levels at most"
        if sum(collection.size for collection in opened) >= MAX_VALUES:
            return (
                f"too many values in line {line}, aliases (*name) included; "
                f"expected fewer than {MAX_VALUES:,}"
            )
    return ""
