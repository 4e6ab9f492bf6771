"""What the readers of all formats of annotations share: limits, and errors that name the place."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tiramisu.data.annotations.region import AnnotatedImage
from tiramisu.data.entry import check_inside
from tiramisu.data.readers.size_limit import check_size
from tiramisu.text import in_one_line, show_path

MOST_BYTES = 1_000_000_000
"""Largest file of annotations; those of COCO's 118,000 images take half of it."""
Side = Annotated[int, Field(ge=1)]


@contextmanager
def naming(place: str | Path) -> Iterator[None]:
    """Let the errors of a block begin with a file, an image or a shape."""
    try:
        yield
    except ValueError as error:
        shown = show_path(place) if isinstance(place, Path) else in_one_line(place)
        raise ValueError(f"{shown}: {error}") from None


def read_name(name: str) -> str:
    """The path of an image relative to its folder, with /; ValueError if it leads out of it."""
    check_inside(name)
    return name.replace("\\", "/")


def read_image_size(name: str, *, height: int, width: int) -> tuple[int, int]:
    """The declared size of an image; ValueError if it is more than what is read."""
    check_size(name, height=height, width=width)
    return height, width


def read_label(label: str) -> str:
    """A label without spaces around it; ValueError if it cannot be the name of a class."""
    label = label.strip()
    if not label or not label.isprintable():
        raise ValueError(f"the label {label!r}; expected printable text")
    return label


def require_once(images: Iterable[AnnotatedImage]) -> None:
    """Raise ValueError if two images of one subset have the same name."""
    counts = Counter((image.subset, image.name) for image in images)
    twice = next((name for (_, name), count in counts.items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"the image {show_path(twice)} is there twice; remove one")


def show_kind(kind: str, known: Iterable[str]) -> str:
    """The error about a kind of shape that cannot be drawn."""
    return f"a shape of the type {in_one_line(kind)}; expected {', '.join(known)}"
