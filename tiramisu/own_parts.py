"""Parts of one's own, by MODULE:NAME: a network, a loss, and so on. No torch in this file.

`find_part_by_name` is the only place where the name of a module leads to an import. A module is
looked for in the current folder too, as with `python -m`.
"""

import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypeVar, cast

from tiramisu.text import did_you_mean, in_one_line

OWN_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:([^\W\d]\w*|<\w+>)(\.([^\W\d]\w*|<\w+>))*")
"""MODULE:NAME. Python writes <locals> and <lambda> in the names of what cannot be imported."""
T = TypeVar("T")


class _OwnNames:
    """The texts that may name a part of one's own; in help and errors "MODULE:NAME"."""

    def __contains__(self, value: str) -> bool:
        return OWN_NAME.fullmatch(value) is not None

    def __str__(self) -> str:
        return "MODULE:NAME"


OwnName = Annotated[str, _OwnNames()]
"""The type of a setting that names a part of one's own, such as "mymodule:MyLoss"."""


def is_own_name(value: object) -> bool:
    """Whether a setting has the form MODULE:NAME."""
    return isinstance(value, str) and OWN_NAME.fullmatch(value) is not None


def find_part_by_name(name: str, *, flag: str, not_in: Path | None = None) -> Any:
    """Import what MODULE:NAME stands for.

    Args:
        name: the module as in an `import`, a colon, and a name at its top, such as
            "mypackage.nets:TinyNet".
        flag: who asks, such as "--arch", for errors.
        not_in: a folder whose modules are not imported, such as that of a downloaded model.

    Raises:
        ValueError: there is no such module or name, or the module fails; one line says where.
    """
    module_name, _, path = name.partition(":")
    if not is_own_name(name):
        raise ValueError(f"{flag} {name} cannot be found: expected MODULE:NAME")
    module = _import(module_name, f"{flag} {name}", not_in=not_in)
    if "<" in path:
        raise ValueError(
            f"{flag} {name}: it was made inside a function, and has no name to import it by: "
            "move it to the top of a module, or give it in Python"
        )
    part: Any = module
    for word in path.split("."):
        if not hasattr(part, word):
            where = f" ({module.__file__})" if getattr(module, "__file__", None) else ""
            raise ValueError(
                f"{flag} {name}: {module_name}{where} has no {path}"
                + did_you_mean(word, [known for known in dir(part) if known[0] != "_"])
            )
        part = getattr(part, word)
    return part


def _import(name: str, asked: str, *, not_in: Path | None) -> ModuleType:
    if name == "__main__":  # the program itself, or a notebook
        return sys.modules[name]
    top = name.partition(".")[0]
    if not module_exists(top):
        known = {path.stem for path in Path().glob("*.py")}
        known |= {path.parent.name for path in Path().glob("*/__init__.py")}
        raise ValueError(
            f"{asked}: there is no module {top}, neither in the current folder {os.getcwd()} nor "
            f"installed{did_you_mean(top, known)}"
        )
    try:
        if not_in is not None:
            _refuse_those_in(not_in, name, asked)
        return importlib.import_module(name)
    except _RefusedError as error:
        raise ValueError(str(error)) from None
    except KeyboardInterrupt:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ValueError(f"{asked}: there is no module {error.name}") from None
        raise ValueError(f"{asked}: {describe_error(error)}") from None
    except BaseException as error:  # a module may also end the program
        raise ValueError(f"{asked}: {describe_error(error)}") from None


class _RefusedError(ValueError):
    pass


def _refuse_those_in(folder: Path, name: str, asked: str) -> None:
    """Raise an error if a module, or a package around it, lies in a folder."""
    words = name.split(".")
    for count in range(1, len(words) + 1):
        module = ".".join(words[:count])
        found = importlib.util.find_spec(module)  # imports the packages around it, but not it
        if found is not None and _lies_in(found, folder):
            raise _RefusedError(
                f"{asked}: the module {module} lies in {folder}, beside the model, and may come "
                "from others as the model may, so it is not run: move it elsewhere"
            )


def module_exists(name: str) -> bool:
    """Whether there is a module of this name, without a full stop, to import; it is not."""
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()  # the file may be new
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _lies_in(spec: ModuleSpec, folder: Path) -> bool:
    """Whether a module is a file or a package in a folder."""
    places = [spec.origin, *(spec.submodule_search_locations or [])]
    folder = folder.resolve()
    return any(
        Path(place).resolve().is_relative_to(folder) for place in places if isinstance(place, str)
    )


def describe_error(error: BaseException) -> str:
    """An error in code of the user in one line, with the file and the line where it arose."""
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: {kind}: {error.msg}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if os.path.isfile(f.filename)]
    theirs = [frame for frame in frames if not _is_library(frame.filename)]
    where = f"{theirs[-1].filename}, line {theirs[-1].lineno}: " if theirs else ""
    return f"{where}{kind}: {in_one_line(error)}"


def _is_library(file: str) -> bool:
    here = Path(__file__).parent
    return "site-packages" in file or Path(file).is_relative_to(here) or _is_standard(file)


def _is_standard(file: str) -> bool:
    return Path(file).is_relative_to(Path(os.__file__).parent)


def name_of(part: object) -> str:
    """MODULE:NAME of a class or function; of an object, that of its class."""
    named: Any = part if hasattr(part, "__qualname__") else type(part)
    return f"{named.__module__}:{named.__qualname__}"


def is_importable(part: object) -> bool:
    """Whether `name_of` leads back to the same part, also in another program."""
    module_name, _, path = name_of(part).partition(":")
    found: Any = sys.modules.get(module_name)
    for word in path.split("."):
        found = getattr(found, word, None)
    return found is part and module_name != "__main__"


def accepted(part: Callable[..., object], options: Mapping[str, Any]) -> dict[str, Any]:
    """Those keywords that a class or function takes."""
    try:
        parameters = inspect.signature(part).parameters.values()
    except (TypeError, ValueError):  # some of those written in C
        return {}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(options)
    by_name = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return {name: value for name, value in options.items() if name in by_name}


def call(part: Callable[..., T], options: Mapping[str, Any], *, asked: str) -> T:
    """Call a class or function of the user.

    Raises:
        ValueError: it failed; one line says where.
    """
    try:
        return part(**options)
    except Exception as error:
        raise ValueError(f"{asked}: {describe_error(error)}") from None


def describe_part(part: object) -> str:
    """What a part is, for errors: "the class Sky", "the function sky", "an object of Sky"."""
    if isinstance(part, type):
        return f"the class {part.__name__}"
    if inspect.isroutine(part):
        return f"the function {part.__name__}"
    if inspect.ismodule(part):
        return f"the module {part.__name__}"
    return f"an object of {type(part).__name__}"


def as_list(value: "Sequence[str] | str | None") -> list[str]:
    """The names in a setting that holds one, several or none."""
    return [] if value is None else [value] if isinstance(value, str) else list(cast(Any, value))
