"""Every imported package is declared in pyproject.toml, and every declared package is used."""

import ast
import re
import sys
from collections import defaultdict
from importlib.metadata import distributions, requires
from pathlib import Path

import tiramisu

PACKAGE = Path(tiramisu.__file__).parent
# Used without an import: TensorBoard by Lightning's logger, onnxscript by torch.onnx, NNCF and the
# runtimes by `require_package`, which imports by name. torchvision is also
# segmentation-models-pytorch's.
NOT_IMPORTED = {"tensorboard", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf"}
NOT_IMPORTED |= {"rasterio", "imagecodecs"}


def normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def find_owners() -> dict[str, set[str]]:
    """The distributions that each top-level module comes from.

    `importlib.metadata.packages_distributions` does not see all of them before Python 3.11.
    """
    owners: dict[str, set[str]] = defaultdict(set)
    for distribution in distributions():
        for path in distribution.files or ():
            owners[path.parts[0].removesuffix(".py")].add(normalize(distribution.name))
    return owners


def imported_packages() -> set[str]:
    """Top-level names of everything that the package imports, but for Python's own."""
    names: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"tiramisu"}


def declared_distributions() -> set[str]:
    """Distributions in `dependencies`, and in the extras that this package imports by itself."""
    found = set()
    for requirement in requires("tiramisu-seg") or []:
        extra = re.search(r'extra == "(\w+)"', requirement)
        if extra is None or extra[1] in ("cluster", "completion", "export", "geo"):
            found.add(normalize(re.split(r"[\s<>=!\[;]", requirement, maxsplit=1)[0]))
    return found


def test_every_imported_package_is_declared() -> None:
    owners, declared = find_owners(), declared_distributions()
    assert "torch" in declared
    assert {name for name in imported_packages() if not owners[name] & declared} == set()


def test_every_declared_package_is_used() -> None:
    owners = find_owners()
    used = set[str]().union(*(owners[name] for name in imported_packages()))
    assert declared_distributions() - used - NOT_IMPORTED == set()
