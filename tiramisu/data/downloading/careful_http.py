"""HTTP from servers that may be slow, broken or hostile: nothing waits for them without end.

A time limit of a socket is for one byte: a server that sends a byte now and then, in the headers,
between chunks or after them, would never exceed it. So all bytes of a connection are counted.
"""

import http.client
import io
import time
import urllib.request
from typing import Any

TIMEOUT = 30.0
"""Seconds without a byte; headers must be complete in the same time."""
SLOWEST = 100
"""Bytes a second, over TIMEOUT seconds, below which a connection counts as stalled."""


def open_url(url: str) -> http.client.HTTPResponse:
    """Open a URL of http or https.

    Raises:
        OSError: the server does not answer in time, or with an error; also while it is read.
        ValueError: the URL is none, or leads to another protocol.
    """
    # Without urllib's other handlers: neither a url nor a redirection leads to files or to FTP.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        _HTTPHandler(),
        _HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    response = opener.open(url, timeout=TIMEOUT)
    assert isinstance(response, http.client.HTTPResponse)
    return response


class _CountingHandler(urllib.request.AbstractHTTPHandler):
    def do_open(self, http_class: Any, req: Any, **http_conn_args: Any) -> Any:
        def connect(*args: Any, **options: Any) -> Any:
            connection = http_class(*args, **options)
            connection.response_class = _Response
            return connection

        return super().do_open(connect, req, **http_conn_args)


class _HTTPHandler(_CountingHandler, urllib.request.HTTPHandler):
    pass


class _HTTPSHandler(_CountingHandler, urllib.request.HTTPSHandler):
    pass


class _Response(http.client.HTTPResponse):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._counted = _Counted(self.fp.detach())
        self.fp = io.BufferedReader(self._counted)

    def begin(self) -> None:
        super().begin()
        self._counted.is_body = True


class _Counted(io.RawIOBase):
    """The bytes of a connection; TimeoutError where they come too slowly."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self.is_body = False
        self._received, self._since = 0, time.monotonic()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self._raw.readinto(buffer)
        self._received += count or 0
        if time.monotonic() - self._since > TIMEOUT:
            if not self.is_body:
                raise TimeoutError(f"its headers do not end within {TIMEOUT:g} seconds")
            if self._received < SLOWEST * TIMEOUT:
                raise TimeoutError(f"it comes at less than {SLOWEST} bytes a second")
            self._received, self._since = 0, time.monotonic()
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
