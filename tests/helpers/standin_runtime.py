"""A stand-in for the npm package onnxruntime-web: small files under its names."""

import io
import tarfile
from pathlib import Path

from tiramisu.export.web_runtime import BUILDS


def standin_files(version: str = "9.8.7") -> dict[str, bytes]:
    """The content of the files, by their names."""
    files = {}
    for name, build in BUILDS.items():
        files[build.script] = b"/*!\n * ONNX Runtime Web v%s\n */ script %s" % (
            version.encode(),
            name.encode(),
        )
        files[build.glue] = b"glue " + name.encode()
        files[build.wasm] = b"\0asm wasm " + name.encode()
    return files


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def pack_archive(files: dict[str, bytes]) -> bytes:
    """As `npm pack` does, among other files."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        entries = {f"package/dist/{name}": data for name, data in files.items()}
        for name, data in {"package/package.json": b"{}", **entries}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()
