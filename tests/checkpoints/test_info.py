"""What a description of a model must hold: in model.json and config.json, and made in Python."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from tiramisu.checkpoints.info import ModelInfo, read_info, write_info

INFO = ModelInfo(
    arch="fc56",
    class_names=("sky", "wall", "road"),
    colors=((1, 2, 3), (4, 5, 6), (7, 8, 9)),
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.3, 0.4),
    metrics={"mean_iou": 12.5},
)
GRAY = [9, 9, 9]
WRONG: list[tuple[str, Any]] = [
    *(("arch", value) for value in (5, None, "", [])),
    *(("class_names", value) for value in ([1, 2, 3], ["a", "a", "b"], ["", "b", "c"], [], "abc")),
    ("class_names", ["two", "classes"]),
    *(("colors", [color, GRAY, GRAY]) for color in ([300, 0, 0], [-1, 0, 0], [0.5, 0, 0], [1, 2])),
    *(("colors", value) for value in ([GRAY] * 2, [GRAY] * 4, None, "red", [True, GRAY, GRAY])),
    *(("mean", value) for value in ([0, 0], [0] * 4, "abc", ["0"] * 3, [math.nan] * 3, None)),
    *(("mean", [value, 0, 0]) for value in (math.inf, 10**400, 1e300)),
    *(("std", [value, 1, 1]) for value in (0, -1, math.nan, math.inf, 1e-300, "1")),
    *(("image_scale", value) for value in (-1, 0, 1e-9, 1e9, math.nan, "half", None, True)),
    *(("image_size", value) for value in ([0, 9], [9], [1.5, 9], [10**9, 9], "big", 9)),
    *(("dropout", value) for value in (-0.1, 1, math.nan, "some")),
    *(("task", value) for value in ("detection", None, [])),
    *(("dataset", value) for value in ("../x", "/etc/x", 5, None)),
    *(("metrics", value) for value in ({"mean_iou": "good"}, {"mean_iou": math.nan}, [], 3, None)),
]


@pytest.mark.parametrize(("field", "value"), WRONG, ids=lambda part: str(part)[:24])
def test_a_wrong_field_is_named(tmp_path: Path, field: str, value: Any) -> None:
    # Names and colours must agree, so that a mistake in one may be one in the other.
    place = "(class_names|colors)" if field in ("class_names", "colors") else field
    with pytest.raises(ValueError, match=rf"^{place}[.:]"):
        dataclasses.replace(INFO, **{field: value})
    for name in ("model.json", "config.json"):
        path = tmp_path / name
        path.write_text(json.dumps({**dataclasses.asdict(INFO), field: value}))
        expected = rf"^\S*{name} does not describe a Tiramisu model \({place}[.:][^\n]{{,250}}$"
        with pytest.raises(ValueError, match=expected):
            read_info(tmp_path)
        path.unlink()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not readable as JSON"),
        (b"{", "not readable as JSON"),
        (b"\xff\xfe\x00", "not readable as JSON"),
        (b"[" * 100_000, "not readable as JSON"),
        (b'{"arch":' * 100_000, "not readable as JSON"),
        (b'{"arch":' + b"9" * 100_000, "not readable as JSON"),
        (b'{"arch": "\\ud800"}', "not readable as JSON"),
        (b"3", "does not describe"),
        (b"[]", "does not describe"),
        (b"null", "does not describe"),
        (b'"fc56"', "does not describe"),
        (b"{}", "missing: arch, class_names, colors"),
        (b'{"archi": 3}', "unknown key 'archi'; did you mean arch"),
        (b" " * 50_000_001, "50,000,001 bytes"),
    ],
    ids=lambda part: str(part)[:24],
)
def test_a_file_that_is_no_description_is_named(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"^[^\n]*model\.json[^\n]*{problem}[^\n]*$"):
        read_info(tmp_path)


def test_masks_have_room_for_254_classes_and_photos_for_more() -> None:
    names, colors = tuple(f"class{i}" for i in range(255)), ((0, 0, 0),) * 255
    dataclasses.replace(INFO, class_names=names[1:], colors=colors[1:])
    dataclasses.replace(INFO, class_names=names, colors=colors, task="classification")
    with pytest.raises(ValueError, match="255 classes; expected 254 or fewer"):
        dataclasses.replace(INFO, class_names=names, colors=colors)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    info = dataclasses.replace(INFO, image_size=(32, 48), dropout=0, dataset="mine", image_scale=1)
    write_info(info, tmp_path)
    assert read_info(tmp_path) == info


def test_lists_become_tuples() -> None:
    colors: Any = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert dataclasses.replace(INFO, colors=colors) == INFO
