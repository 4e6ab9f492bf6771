"""ONNX Runtime for browsers: files of the npm package onnxruntime-web, in two builds.

They are downloaded once, as the whole package, or read from a folder or an archive of the user's.
"""

import os
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tiramisu.data.downloading.fetch import RemoteFile, fetch_files, has_digest
from tiramisu.text import in_one_line

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
"""Of the package that is downloaded; another one needs another `DIGEST`."""
DIGEST = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
"""SHA-256 of the archive of that version."""
REGISTRY = "https://registry.npmjs.org"
REGISTRY_VARIABLES = ("npm_config_registry", "NPM_CONFIG_REGISTRY")
"""Environment variables with the address of another registry, as npm reads them."""
_WASM_START = b"\0asm"


@dataclass(frozen=True, kw_only=True)
class Build:
    """Names of the files of one build, in the package's folder `dist`."""

    script: str
    """What pages call, in JavaScript."""
    glue: str
    """The JavaScript module that starts `wasm`."""
    wasm: str
    """The runtime itself, in WebAssembly."""

    @property
    def names(self) -> tuple[str, str, str]:
        """All three."""
        return self.script, self.glue, self.wasm


BUILDS = {
    "cpu": Build(
        script="ort.wasm.min.js",
        glue="ort-wasm-simd-threaded.mjs",
        wasm="ort-wasm-simd-threaded.wasm",
    ),
    "gpu": Build(
        script="ort.jspi.min.js",
        glue="ort-wasm-simd-threaded.jspi.mjs",
        wasm="ort-wasm-simd-threaded.jspi.wasm",
    ),
}
"""The builds that a page holds. There is one build for both, but version 1.30.0 of it takes three
times as long on the processor, and is larger than these two together with a small network."""
NAMES = tuple(name for build in BUILDS.values() for name in build.names)


@dataclass(frozen=True, kw_only=True)
class WebRuntime:
    """The runtime's files."""

    version: str
    """As its scripts name it."""
    files: dict[str, bytes]
    """By the names of `BUILDS`."""


def find_web_runtime(source: str | Path | None = None) -> WebRuntime:
    """The runtime's files, from a folder or an archive, or else from the cache or the registry.

    The cache is the folder tiramisu in $XDG_CACHE_HOME, by default in ~/.cache.

    Args:
        source: the folder of an installed package, its folder dist, or an archive of `npm pack`.

    Raises:
        FileNotFoundError: the source does not exist or lacks a file.
        ValueError: a file is no part of the runtime, or the download fails.
    """
    if source is None:
        return _read_archive(_download())
    source = Path(os.path.expanduser(source))
    if source.is_dir():
        return _read_folder(source)
    if not source.exists():
        raise FileNotFoundError(
            f"--runtime: there is no {source}; expected a folder of {PACKAGE} or its .tgz archive"
        )
    return _read_archive(source)


def _download() -> Path:
    """The archive in the cache, downloaded where it is not there yet."""
    folder = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")) / "tiramisu"
    name = f"{PACKAGE}-{VERSION}.tgz"
    path = folder / name
    if has_digest(path, DIGEST):
        return path
    registry = next(filter(None, map(os.environ.get, REGISTRY_VARIABLES)), REGISTRY)
    url = f"{registry.rstrip('/')}/{PACKAGE}/-/{name}"
    try:
        fetch_files(PACKAGE, [RemoteFile(url=url, path=path, digest=DIGEST)], folder=folder)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{in_one_line(error)}; where there is no network, run `npm pack {PACKAGE}@{VERSION}` "
            "elsewhere and give the file as --runtime"
        ) from None
    return path


def _read_archive(path: Path) -> WebRuntime:
    found = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = member.name.removeprefix("package/dist/")
                file = archive.extractfile(member) if name in NAMES else None
                if file is not None:
                    found[name] = file.read()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise ValueError(
            f"{path} is no archive of {PACKAGE} ({in_one_line(error)}); expected the file that "
            f"`npm pack {PACKAGE}` writes"
        ) from None
    return _check(found, path)


def _read_folder(folder: Path) -> WebRuntime:
    for place in (folder, folder / "dist", folder / PACKAGE / "dist"):
        paths = {name: place / name for name in NAMES}
        if any(path.is_file() for path in paths.values()):
            found = {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
            return _check(found, place)
    return _check({}, folder)


def _check(found: dict[str, bytes], source: Path) -> WebRuntime:
    missing = [name for name in NAMES if name not in found]
    if missing:
        raise FileNotFoundError(
            f"{source} lacks {', '.join(missing)}; expected the files of the npm package {PACKAGE} "
            f"{VERSION}: `npm pack {PACKAGE}@{VERSION}` downloads it"
        )
    versions = set()
    for build in BUILDS.values():
        version = re.search(rb"ONNX Runtime Web v([\w.+-]+)", found[build.script][:1000])
        if version is None or not found[build.wasm].startswith(_WASM_START):
            wrong = build.script if version is None else build.wasm
            raise ValueError(
                f"{wrong} in {source} is damaged or of another program; expected that of the npm "
                f"package {PACKAGE} {VERSION}"
            )
        versions.add(version[1].decode())
    if len(versions) > 1:
        raise ValueError(
            f"{source} mixes files of {' and '.join(sorted(versions))}; expected those of one "
            f"version of {PACKAGE}, such as {VERSION}"
        )
    return WebRuntime(version=versions.pop(), files=found)
