"""Fetch files from a web server, several at a time, and check each against its digest.

The server may be slow, broken or hostile: nothing that it sends is kept unless its digest is right,
and Ctrl-C ends the work at once.
"""

import hashlib
import http.client
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread

from tqdm import tqdm

from tiramisu.atomic import WriteError, write_then_rename
from tiramisu.data.downloading.careful_http import open_url
from tiramisu.text import in_one_line

_THREADS = 8
_PAUSES = (1.0, 4.0)
"""Seconds before the second and the third attempt."""
_SECONDS_TO_END = 1.0
"""Seconds that threads get to end, before they are left behind."""
_CHUNK = 2**16
MAX_BYTES = 2**30
"""Largest file: lists of digests do not say how large a file should be."""
_WORTH_A_RETRY = (408, 429)
"""The only statuses below 500 that may be gone at the next attempt."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file on a server."""

    url: str
    path: Path
    """Where it belongs; its parents are made."""
    digest: str
    """Its SHA-256, or with 32 characters its MD5, as lower-case hexadecimal."""


class _StoppedError(Exception):
    """Another file has failed, or Ctrl-C was pressed."""


def fetch_files(name: str, files: Sequence[RemoteFile], *, folder: Path) -> None:
    """Fetch all files that are not there yet.

    Args:
        name: what the files are, for the progress bar and the messages.
        files: the files.
        folder: the folder of all of them, for the messages.

    Raises:
        ValueError: a file cannot be fetched after three attempts, or written; the others are kept.
        KeyboardInterrupt: the user stopped it; the message says how to go on.
    """
    waiting: SimpleQueue[RemoteFile] = SimpleQueue()
    for file in files:
        waiting.put(file)
    done: SimpleQueue[Exception | None] = SimpleQueue()
    stop = Event()
    # Threads of a pool would be waited for when Python ends, however long a server takes.
    threads = [
        Thread(target=_work, args=(waiting, done, stop), daemon=True)
        for _ in range(min(_THREADS, len(files)))
    ]
    try:
        for thread in threads:
            thread.start()
        for _ in tqdm(files, desc=f"downloading {name}", unit="file", disable=None):
            problem = _wait_for(done)
            if problem is not None:
                _end(threads, stop)
                raise ValueError(_how_to_go_on(name, files, folder, f": {problem}")) from problem
    except KeyboardInterrupt as interrupt:
        with suppress(KeyboardInterrupt):  # pressed again
            _end(threads, stop)
        raise type(interrupt)(_how_to_go_on(name, files, folder, "")) from None


def has_digest(path: Path, digest: str) -> bool:
    """Whether a file is there and has this digest."""
    if not path.is_file():
        return False
    found = _new_hash(digest)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest() == digest


def _new_hash(digest: str) -> "hashlib._Hash":
    """An empty hash of the kind that a digest is of."""
    return hashlib.new("md5" if len(digest) == 32 else "sha256", usedforsecurity=False)


def _work(
    waiting: "SimpleQueue[RemoteFile]", done: "SimpleQueue[Exception | None]", stop: Event
) -> None:
    while not stop.is_set():
        try:
            _fetch(waiting.get_nowait(), stop)
        except Empty:
            return
        except Exception as problem:  # whatever it is, the main thread must hear of it
            done.put(problem)
        else:
            done.put(None)


def _wait_for(done: "SimpleQueue[Exception | None]") -> Exception | None:
    while True:
        # Ctrl-C wakes the main thread only if the system gives the signal to it, and not to others.
        with suppress(Empty):
            return done.get(timeout=0.2)


def _end(threads: Sequence[Thread], stop: Event) -> None:
    stop.set()
    until = time.monotonic() + _SECONDS_TO_END
    for thread in filter(Thread.is_alive, threads):  # Ctrl-C may come before all are started
        thread.join(max(0.0, until - time.monotonic()))


def _how_to_go_on(name: str, files: Sequence[RemoteFile], folder: Path, problem: str) -> str:
    there = sum(file.path.is_file() for file in files)
    return (
        f"download of {name} stopped{problem}. {there} of {len(files)} files are in {folder}. Run "
        "the same command again to continue"
    )


def _fetch(file: RemoteFile, stop: Event) -> None:
    """Fetch one file unless it is there. Raises OSError after three attempts."""
    if has_digest(file.path, file.digest):
        return
    file.path.parent.mkdir(parents=True, exist_ok=True)
    for pause in (*_PAUSES, None):
        try:
            _fetch_once(file, stop)
        except WriteError:
            raise
        except (OSError, ValueError, http.client.HTTPException) as error:
            if pause is None or not _may_pass(error):
                raise OSError(f"{file.url}: {in_one_line(error)}") from error
            if stop.wait(pause):
                raise _StoppedError from None
        else:
            return


def _may_pass(error: Exception) -> bool:
    """Whether the next attempt may go better."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= 500 or error.code in _WORTH_A_RETRY
    # A ValueError is about the URL.
    return not isinstance(error, _TooLargeError | ValueError)


class _TooLargeError(OSError):
    """A file is larger than any of a data set should be, or than the disk has room for."""


def _fetch_once(file: RemoteFile, stop: Event) -> None:
    """Write what the server sends, and give it its name if it is the right content."""
    digest = _new_hash(file.digest)
    with open_url(file.url) as response, write_then_rename(file.path) as unfinished:
        with unfinished.open("wb") as output:
            for chunk in _read(response, file.path.parent, stop):
                digest.update(chunk)
                output.write(chunk)
        if digest.hexdigest() != file.digest:
            kind = "MD5" if digest.name == "md5" else "SHA-256"
            raise OSError(f"its {kind} differs from the expected one")


def _read(response: http.client.HTTPResponse, folder: Path, stop: Event) -> Iterator[bytes]:
    """The content, part by part, as long as it comes in time and is not too large."""
    declared = response.length
    room = shutil.disk_usage(folder).free
    if declared is not None and declared > min(MAX_BYTES, room):
        most = (
            f"at most {MAX_BYTES:,}" if declared > MAX_BYTES else f"{room:,} are free on the disk"
        )
        raise _TooLargeError(f"it has {declared:,} bytes; expected {most}")
    received = 0
    while chunk := response.read1(_CHUNK):
        if stop.is_set():
            raise _StoppedError
        received += len(chunk)
        if received > MAX_BYTES:
            raise _TooLargeError(f"it has more than {MAX_BYTES:,} bytes, and was cut off")
        yield chunk
    if declared is not None and received < declared:
        raise OSError(f"the connection ended after {received:,} of {declared:,} bytes")
