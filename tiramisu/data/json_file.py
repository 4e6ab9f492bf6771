"""JSON of others: parsed within limits, and values are checked as a whole."""

from collections.abc import Hashable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from tiramisu.data.mistakes import read_mistake

MAX_BYTES = 50_000_000
"""Largest description of a model: those of a hundred thousand classes are smaller."""

_ANYTHING = TypeAdapter(Any)

T = TypeVar("T")


def read_json(path: Path, *, most: int = MAX_BYTES) -> Any:
    """The content of a JSON file of at most so many bytes.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, too large or too deep.
    """
    size = path.stat().st_size
    if size > most:
        raise ValueError(f"{path} is damaged: it has {size:,} bytes; expected {most:,} at most")
    return parse_json(path.read_bytes(), origin=str(path))


def parse_json(text: str | bytes, *, origin: str) -> Any:
    """The content of a JSON text; `origin` names it in errors.

    Raises:
        ValueError: it is no JSON, not UTF-8, or deeper than 200 levels.
    """
    try:
        return _ANYTHING.validate_json(text)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"].removeprefix("Invalid JSON: ")
        raise ValueError(f"{origin} is damaged, not readable as JSON: {reason}") from None


def validate(kind: type[T], values: object) -> T:
    """Values in the form of `kind`, which says what types and ranges they have.

    Args:
        kind: a type that pydantic can check, such as a `TypedDict`.
        values: what a file holds.

    Raises:
        ValueError: a value has another type or range; the message begins with its place.
    """
    try:
        return cast(T, _adapter(cast(Hashable, kind)).validate_python(values))
    except ValidationError as error:
        place, problem, _ = read_mistake(error.errors(include_url=False)[0])
        where = ".".join(map(str, place))
        raise ValueError(f"{where}: {problem}" if where else problem) from None
    except RecursionError:
        raise ValueError("its values are nested too deep") from None


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
