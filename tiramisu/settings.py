"""What the settings of all commands share: kinds of numbers with their ranges. No torch here.

A field's range stands beside the field: `lr: PositiveNumber = 1e-3`. It is checked when the
settings are made, in Python as on the command line, and shown by `--help`. A range ends where a
value can only be a mistake.
"""

import dataclasses
import math
import types
import typing
import unicodedata
from typing import Annotated, Any, Literal, Union

from tiramisu.text import did_you_mean

Accelerator = Literal["auto", "cpu", "gpu", "mps"]

MIN_CLASSES = 2
"""Smallest number of classes of data sets, of models with names for their logits, and of
--num-classes: with a single one there is nothing to learn. Networks in Python have no class names;
there `num_classes=1` is one output, such as of a regression."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Range:
    """The numbers that a setting may have."""

    at_least: float = -math.inf
    above: float = -math.inf
    at_most: float = math.inf
    below: float = math.inf

    def __contains__(self, value: float) -> bool:
        # Without ends of its own, a range has neither infinity nor NaN in it.
        return self.at_least <= value <= self.at_most and self.above < value < self.below

    def __str__(self) -> str:
        if math.isfinite(self.at_least) and math.isfinite(self.at_most):
            return f"{self.at_least:.10g} to {self.at_most:.10g}"
        ends = {
            "at least": self.at_least,
            "above": self.above,
            "at most": self.at_most,
            "below": self.below,
        }
        return " and ".join(
            f"{word} {end:.10g}" for word, end in ends.items() if math.isfinite(end)
        )


Count = Annotated[int, Range(at_least=1, at_most=1_000_000)]
CountOrZero = Annotated[int, Range(at_least=0, at_most=1_000_000)]
BatchSize = Annotated[int, Range(at_least=1, at_most=65_536)]
Side = Annotated[int, Range(at_least=32, at_most=16_384)]
TileSide = Annotated[int, Range(at_least=64, at_most=65_536)] | Literal["auto", "off"]
Processes = Annotated[int, Range(at_least=1, at_most=1024)]
PositiveNumber = Annotated[float, Range(above=0, at_most=1000)]
NumberOrZero = Annotated[float, Range(at_least=0, at_most=1_000_000)]
Share = Annotated[float, Range(at_least=0, at_most=1)]
ShareAboveZero = Annotated[float, Range(above=0, at_most=1)]
ShareBelowOne = Annotated[float, Range(at_least=0, below=1)]
ImageScale = Annotated[float, Range(at_least=0.01, at_most=1)]
Seed = Annotated[int, Range(at_least=0, at_most=2**32 - 1)]

LONGEST = 1000
"""Characters of a text."""
_SHOWN = 200
"""Characters of a value that an error shows."""


def check_workers(workers: int | None, scheduler: str | None) -> None:
    """Raise ValueError if workers are to be both started and joined."""
    if workers is not None and scheduler is not None:
        raise ValueError("--workers starts processes here, --scheduler joins others: give one")


def check_ranges(settings: Any) -> None:
    """Raise ValueError, in the words of the command line, if a field has a value it may not have.

    Args:
        settings: a dataclass whose fields may be `Annotated` with a `Range`, also within a union
            or as the parts of a tuple.
    """
    for name, kind in kinds_of(type(settings)).items():
        value = getattr(settings, name)
        if not is_valid(value, kind):
            raise ValueError(explain_kind(name, value, kind))


def kinds_of(settings: type) -> dict[str, Any]:
    """The type of each field of a settings class, with its range, by name."""
    hints = typing.get_type_hints(settings, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(settings)}


def explain(name: str, value: object, expected: str) -> str:
    """The error for a setting: its flag, what came, and what was expected."""
    return f"--{name.replace('_', '-')} is {show(value)}; expected {expected}"


_LIST_EXAMPLE = "[a,b]"


def explain_kind(name: str, value: object, kind: Any) -> str:
    """The error for a value that does not have the type of its setting."""
    expected = describe(kind)
    if isinstance(value, str) and _LIST_EXAMPLE in expected:
        expected = expected.replace(_LIST_EXAMPLE, f"[{show(value)}]")
    return explain(name, value, expected) + did_you_mean(show(value), list_words(kind))


def show(value: object) -> str:
    """A value as an error shows it: in one line, and cut where it is very long."""
    try:
        text = str(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a number of thousands of digits"
    if not _is_printable(text):
        text = repr(text)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def describe(kind: Any) -> str:
    """A type in words, with its range: "a whole number, at least 1, or null"."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return str(parts[1]) if parts[0] is str else f"{describe(parts[0])}, {parts[1]}"
    if origin in (Union, types.UnionType):
        return ", or ".join(describe(part) for part in parts)
    if origin is Literal:
        return ", ".join(map(str, parts))
    if origin is tuple:
        numbers = ", ".join(filter(None, ["two numbers", describe_range(parts[0])]))
        return f"{numbers}, such as {'[224,224]' if _base(parts[0]) is int else '[0.5,2]'}"
    if origin is list:
        if typing.get_origin(parts[0]) is Annotated and _base(parts[0]) is str:
            return f"a list of {parts[0].__metadata__[0]}, such as [a:B,c:D]"
        examples = {int: "[4,2,1]", float: "[0.2,0.8]"}
        example = examples.get(_base(parts[0]))
        if example is None:
            return f"a list, such as {_LIST_EXAMPLE}"
        return f"a list of numbers, {describe_range(parts[0])}, such as {example}"
    words = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: f"printable text, 1 to {LONGEST} characters",
    }
    return "null" if kind is type(None) else words.get(kind, str(kind))


def describe_range(kind: Any) -> str:
    """The range within a type, with the words that may stand in its place, for `--help`."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return str(parts[1])
    if origin in (Union, types.UnionType):
        words = [str(word) for part in parts if _is_choice(part) for word in typing.get_args(part)]
        # A number and a list of such numbers have the same range: it is said once.
        ranges = list(dict.fromkeys(filter(None, map(describe_range, parts))))
        return " or ".join([*ranges, *words]) if ranges else ", ".join(words)
    return describe_range(parts[0]) if origin in (tuple, list) else ""


def list_words(kind: Any) -> list[str]:
    """The words that are values of a type, as they are written on the command line."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return [word for part in parts for word in list_words(part)]
    if origin is Literal:
        return [str(word) for word in parts]
    return {bool: ["true", "false"], type(None): ["null"]}.get(kind, [])


def is_valid(value: object, kind: Any) -> bool:
    """Whether a setting of this type may have this value."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return is_valid(value, parts[0]) and value in parts[1]
    if origin in (Union, types.UnionType):
        return any(is_valid(value, part) for part in parts)
    if origin is tuple:
        if not isinstance(value, tuple | list) or len(value) != len(parts):
            return False
        return all(map(is_valid, value, parts))
    if origin is list:
        return isinstance(value, list) and all(is_valid(part, parts[0]) for part in value)
    if origin is Literal:
        return value in parts
    if isinstance(value, bool):  # to Python it is a whole number too
        return kind is bool
    if isinstance(value, str):
        return kind is str and _is_printable(value) and len(value) <= LONGEST
    return isinstance(value, (int, float) if kind is float else kind)


def _is_printable(text: str) -> bool:
    """Whether a text is one line that can be written as UTF-8, and not empty."""
    return text != "" and not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)


def _is_choice(kind: Any) -> bool:
    return typing.get_origin(kind) is Literal


def _base(kind: Any) -> Any:
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind
