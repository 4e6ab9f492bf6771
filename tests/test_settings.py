"""The range of a setting: checked, and said in words."""

import dataclasses
from typing import Annotated, Literal

import pytest

from tiramisu.settings import (
    Count,
    PositiveNumber,
    Range,
    Share,
    ShareBelowOne,
    check_ranges,
    describe,
    describe_range,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    steps: Count = 1
    lr: PositiveNumber = 1.0
    dropout: ShareBelowOne | None = None
    tile: Annotated[int, Range(at_least=64)] | Literal["off"] = "off"
    crop: tuple[Count, Count] | None = None
    optimizer: Literal["sgd", "adamw"] = "sgd"
    name: str = "any"

    def __post_init__(self) -> None:
        check_ranges(self)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 7},
        {"lr": 3},  # a whole number is a number
        {"dropout": 0.0},
        {"dropout": None},
        {"tile": 64},
        {"crop": (1, 9)},
        {"crop": [1, 9]},  # as YAML holds it
        {"optimizer": "adamw"},
    ],
    ids=str,
)
def test_values_within_their_range(changes: dict[str, object]) -> None:
    Settings(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "--steps is 0; expected a whole number, 1 to 1000000"),
        ({"steps": 1.5}, "--steps is 1.5; expected a whole number, 1 to 1000000"),
        ({"lr": 0.0}, "--lr is 0.0; expected a number, above 0 and at most 1000"),
        ({"lr": float("nan")}, "--lr is nan; expected a number, above 0 and at most 1000"),
        ({"dropout": 1.0}, "--dropout is 1.0; expected a number, at least 0 and below 1, or null"),
        ({"tile": 63}, "--tile is 63; expected a whole number, at least 64, or off"),
        (
            {"tile": "of"},
            "--tile is of; expected a whole number, at least 64, or off; did you mean off?",
        ),
        (
            {"crop": (0, 9)},
            "--crop is (0, 9); expected two numbers, 1 to 1000000, such as [224,224], or null",
        ),
        ({"optimizer": "adam"}, "--optimizer is adam; expected sgd, adamw; did you mean adamw?"),
    ],
    ids=str,
)
def test_values_out_of_their_range_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        Settings(**changes)
    assert str(error.value) == message


def test_the_ends_of_a_range() -> None:
    assert 0 in Range(at_least=0)
    assert 0 not in Range(above=0)
    assert 1 in Range(at_most=1)
    assert 1 not in Range(below=1)


def test_ranges_in_words() -> None:
    assert describe(Share) == "a number, 0 to 1"
    assert describe_range(Share) == "0 to 1"
    assert describe_range(Count | None) == "1 to 1000000"
    assert describe_range(Count | Literal["auto"]) == "1 to 1000000 or auto"
    assert describe_range(Count | Literal["auto", "off"]) == "1 to 1000000 or auto or off"
    assert describe_range(Literal["sgd", "adamw"] | None) == "sgd, adamw"
    assert describe_range(list[Count] | Count | None) == "1 to 1000000"
    assert describe_range(tuple[Count, Count]) == "1 to 1000000"
    assert describe_range(list[Count] | Count | None) == "1 to 1000000"
    assert describe_range(str) == ""
