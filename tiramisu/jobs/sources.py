"""The files of a job, and the names of their results."""

import hashlib
import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiramisu.inference.inputs import cut_name, find_inputs
from tiramisu.jobs.storage import Store, find_urls, is_url

LIST_SUFFIX = ".txt"
JOB_NAME = "job.json"
"""What the job is, in the folder of its results."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file to predict."""

    place: str
    """Path or URL."""
    name: str
    """Beginning of the names of its results."""


def find_sources(sources: Sequence[str], *, recursive: bool, out: str) -> list[Source]:
    """The files to predict, with the names of their results.

    Args:
        sources: paths and URLs of files, of folders, and patterns, and lists: text files with a
            path or a URL in each line. A folder of object storage is taken with all that is in it.
        recursive: whether folders of this machine are too.
        out: the folder of the results, which is left out.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: a source is the folder of the results, or a list is none.
        OSError: storage cannot be reached.
    """
    names: dict[str, str] = {}  # by the places
    local: list[str] = []
    for source in sources:
        if _is_same(source, out):
            raise ValueError(
                f"{out} is both input and output: next time its masks would be inputs; give "
                "another --out"
            )
        if source.lower().endswith(LIST_SUFFIX):
            listed = [_absolute(place) for place in _read_list(source)]
            names |= _name_below(list(dict.fromkeys(listed)))
        elif is_url(source):
            inside = f"{out.rstrip('/')}/"
            found = [url for url in find_urls(source) if not url.startswith(inside)]
            names |= _name_below(found)
        else:
            local.append(source)
    if local:
        items = find_inputs(local, recursive=recursive, without=Path(out))
        names |= {_absolute(str(item.path)): item.name for item in items}
    taken = {JOB_NAME.removesuffix(".json")}  # the JSON of such an input would replace it
    return [_distinct(Source(place=place, name=name), taken) for place, name in names.items()]


def _absolute(place: str) -> str:
    return place if is_url(place) else os.path.abspath(place)


def _is_same(source: str, out: str) -> bool:
    if is_url(source) or is_url(out):
        return source.rstrip("/") == out.rstrip("/")
    return os.path.realpath(source) == os.path.realpath(out)


def _name_below(places: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Absolute places and names for their results: paths within the folder that all share."""
    if not places:
        return
    parts = [[part for part in _path_of(place).split("/") if part] for place in places]
    folders = [part[:-1] for part in parts]
    # What two have in common, those between them in their order have too.
    first, last = min(folders), max(folders)
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    for place, part in zip(places, parts, strict=True):
        *inside, file = part[same:]
        stem = posixpath.splitext(file)[0]
        # In object storage a name may hold "..", which would lead out of the folder of the results.
        kept = [cut_name(name) for name in (*inside, stem) if name not in (".", "..")]
        yield place, "/".join(kept or ["_"])


def _path_of(place: str) -> str:
    """The path in a place; what follows it in the address of a server is left out."""
    if not is_url(place):
        return Path(place).as_posix()
    protocol, _, path = place.partition("://")
    return path.partition("?")[0] if protocol.startswith("http") else path


def _read_list(source: str) -> list[str]:
    """The lines of a list of files, here or at a URL."""
    if is_url(source):
        store = Store(place=posixpath.dirname(source))
        content = store.read(posixpath.basename(source))
    else:
        content = Path(source).read_bytes() if Path(source).is_file() else None
    if content is None:
        raise FileNotFoundError(f"there is no list {source}")
    try:
        lines = [line.strip() for line in content.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise ValueError(f"{source} is no text; expected a path or a URL in each line") from None
    places = [line for line in lines if line]
    if not places:
        raise ValueError(f"{source} is empty; expected a path or a URL in each line")
    return places


def _distinct(source: Source, taken: set[str]) -> Source:
    """The source, with a longer name if another source has its name already."""
    if source.name.casefold() in taken:
        source = Source(place=source.place, name=longer_name(source))
    taken.add(source.name.casefold())
    return source


def longer_name(source: Source) -> str:
    """The name of the results of an input whose own name another one has."""
    digest = hashlib.sha1(source.place.encode(errors="surrogateescape")).hexdigest()
    return f"{source.name}-{digest[:8]}"
