"""Checks that a `.pt2` archive holds nothing but numbers and a graph of known operations.

torch's reader unpickles parts of such an archive and evaluates expressions in it: a file made for
that could run any code. Before torch reads a file, all in it must be known to be harmless.
"""

import io
import math
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tiramisu.checkpoints.archive import check_zip
from tiramisu.data.json_file import parse_json
from tiramisu.text import in_one_line

# The files in an archive, without the folder that all of them are in.
TENSORS = re.compile(r"data/(weights/weight|constants/tensor)_\d+")
TABLES = re.compile(r"data/(weights|constants)/\w+_config\.json")
GRAPHS = re.compile(r"models/\w+\.json")
SAMPLES = re.compile(r"data/sample_inputs/\w+\.pt")
TEXTS = re.compile(r"extra/\w+|archive_format|archive_version|byteorder|version|\.data/\w+")

OPERATIONS = re.compile(
    r"torch\.ops\.aten\.[\w.]+|torch\.sym_\w+|math\.\w+"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|getitem)"
)
"""Operations of a graph: all of them compute numbers from numbers."""
BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 12: 1, 13: 2}
"""Bytes of a number, for torch's codes of types in the tables of tensors."""
WORDS = re.compile(
    r"Symbol|Integer|Rational|Add|Mul|Pow|Mod|PythonMod|FloorDiv|CleanDiv|Max|Min|Eq|Ne|Lt|Le|Gt|Ge"
    r"|True|False|positive|integer|nonnegative|nonzero|finite|real|int_oo|oo|[su]\d+"
)
"""Words in sizes that depend on other sizes: FloorDiv(Symbol('s14', positive=True), Integer(2))."""


def check_archive(path: Path) -> None:
    """Raise ValueError if a `.pt2` file is damaged, or holds anything that could run code."""
    try:
        check_zip(path)
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
        names = [member.partition("/")[2] for member in members]
        # What is checked must be what torch reads: by its reader, which ignores case.
        problem = "" if len({name.casefold() for name in names}) == len(names) else "a part twice"
        reader = torch._C.PyTorchFileReader(str(path))
        for name in names:
            problem = problem or _find_problem(reader, name)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
        reason = in_one_line(error)
        raise ValueError(f"{path} is damaged or is no .pt2 file ({reason})") from None
    if problem:
        raise ValueError(
            f"{path} was refused: {problem} could run code when it is loaded; expected a file that "
            "`tiramisu export` wrote"
        )


def _find_problem(reader: Any, name: str) -> str:
    """What in a part of the archive could run code; "" if nothing could."""
    if TENSORS.fullmatch(name) or TEXTS.fullmatch(name):
        return ""
    if SAMPLES.fullmatch(name):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about formats that are refused anyway
                torch.load(io.BytesIO(reader.get_record(name)), weights_only=True)
        except Exception:  # of many kinds, for what is no pickle of tensors
            return f"its part {name}"
        return ""
    if TABLES.fullmatch(name):
        # Weights may be pickles, and constants objects; ours are plain tensors.
        table = parse_json(reader.get_record(name), origin=name)
        entries = _find_values(table, {"use_pickle", "path_name"})
        plain = re.compile(r"(weight|tensor)_\d+")
        harmless = all(value is False or plain.fullmatch(str(value)) for _, value in entries)
        if not harmless:
            return f"its part {name}"
        _check_lengths(reader, table, folder=name.rpartition("/")[0])
        return ""
    if GRAPHS.fullmatch(name):
        graph = parse_json(reader.get_record(name), origin=name)
        for key, value in _find_values(graph, {"nodes", "expr_str"}):
            if key == "expr_str" and not _is_arithmetic(str(value)):
                return f"the expression {str(value)[:60]!r}"
            for node in value if key == "nodes" else ():
                target = str(node.get("target") if isinstance(node, dict) else node)
                if not OPERATIONS.fullmatch(target):
                    return f"the operation {target[:60]!r}"
        return ""
    return f"its part {name[:60]!r}"


def _check_lengths(reader: Any, table: Any, *, folder: str) -> None:
    """Raise ValueError if a tensor has fewer bytes than values: torch would read beyond its end."""
    try:
        for name, entry in table["config"].items():
            sizes = [size["as_int"] for size in entry["tensor_meta"]["sizes"]]
            expected = math.prod(sizes) * BYTES[entry["tensor_meta"]["dtype"]]
            found = len(reader.get_record(f"{folder}/{entry['path_name']}"))
            if found < expected:
                raise ValueError(f"{name} has {found:,} bytes; expected {expected:,}")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its table of {folder} lacks {error}") from None


def _is_arithmetic(expression: str) -> bool:
    """Whether an expression has only numbers, sizes and functions of them."""
    known = all(WORDS.fullmatch(word) for word in re.findall(r"[^\W\d]\w*", expression))
    return known and re.fullmatch(r"[\w\s(),'=+*/<>-]*", expression) is not None


def _find_values(content: Any, keys: set[str]) -> Iterator[tuple[str, Any]]:
    """All values under these keys in nested JSON, with their keys."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key in keys:
                yield key, value
            yield from _find_values(value, keys)
    elif isinstance(content, list):
        for value in content:
            yield from _find_values(value, keys)
