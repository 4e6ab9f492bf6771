"""The background of a data set: the class of what belongs to no other class. No torch here."""

from collections.abc import Sequence

from tiramisu.text import did_you_mean, list_some

_NAMES = ("background", "bg")
_UNNAMED = ("class_0", "class_1")
"""Names that a folder's two classes get where masks hold 0 and 1, and no file names them."""
_SHOWN = 10


def find_background(class_names: Sequence[str]) -> int | None:
    """The class that is the background, by its name; None where no class is.

    It is called background or bg, also with lines or spaces such as _background_. Of two classes
    without names, class_0 and class_1, it is the first one.
    """
    if tuple(class_names) == _UNNAMED:
        return 0
    plain = ["".join(filter(str.isalnum, name.casefold())) for name in class_names]
    return next((index for index, name in enumerate(plain) if name in _NAMES), None)


def find_unpainted(class_names: Sequence[str], names: Sequence[str] | None) -> tuple[int, ...]:
    """The classes that overlays leave unpainted: those with these names, or the background.

    Args:
        class_names: the names of all classes.
        names: some of them; None for the background, if there is one.

    Raises:
        ValueError: there is no class of such a name.
    """
    if names is None:
        background = find_background(class_names)
        return () if background is None else (background,)
    for name in names:
        if name not in class_names:
            raise ValueError(
                f"--unpainted: there is no class {name}; the classes are "
                f"{list_some(class_names, most=_SHOWN)}{did_you_mean(name, class_names)}"
            )
    return tuple(class_names.index(name) for name in names)
