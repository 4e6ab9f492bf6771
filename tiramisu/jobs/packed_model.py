"""A model's files on their way to workers, which may have no disk in common with us."""

import atexit
import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock

import torch

from tiramisu.checkpoints.checkpoint import save_model
from tiramisu.checkpoints.info import find_info
from tiramisu.checkpoints.model import ImageModel
from tiramisu.checkpoints.model_files import find_model_file, list_members
from tiramisu.inference.load import load_predictor
from tiramisu.inference.predictor import Predictor
from tiramisu.jobs.cluster import find_scratch
from tiramisu.settings import Accelerator

COMPUTING = Lock()
"""Held by the one thread of a process that computes: a network is not for several at once."""


@dataclass(frozen=True, kw_only=True)
class PackedModel:
    """The files of a model, or of those of an ensemble."""

    members: tuple[dict[str, bytes], ...]
    """The content of each one's files, by their names; the first is that to load."""

    @classmethod
    def of(cls, checkpoint: str) -> "PackedModel":
        """Read the files of what --checkpoint names."""
        return cls(
            members=tuple(
                {file.name: file.read_bytes() for file in _list_files(member)}
                for member in list_members(checkpoint)
            )
        )

    @classmethod
    def of_model(cls, model: ImageModel) -> "PackedModel":
        """The files that a model would be saved as."""
        with tempfile.TemporaryDirectory() as folder:
            save_model(model, folder)
            return cls.of(folder)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all files."""
        total = hashlib.sha256()
        for files in self.members:
            for name, content in sorted(files.items()):
                total.update(f"{name} {len(content)} ".encode())
                total.update(content)
        return total.hexdigest()

    def unpack(self) -> None:
        """Write the files into a folder of this process, for `load_unpacked`."""
        folder = Path(tempfile.mkdtemp(prefix="tiramisu-model-", dir=find_scratch()))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _FOLDERS[self.fingerprint] = folder
        paths = []
        for number, files in enumerate(self.members):
            inside = folder / str(number)
            inside.mkdir()
            for name, content in files.items():
                (inside / name).write_bytes(content)
            paths.append(str(inside / next(iter(files))))
        _UNPACKED[self.fingerprint] = ",".join(paths)

    def forget(self) -> None:
        """Remove the files again, and the model that was loaded from them."""
        if folder := _FOLDERS.pop(self.fingerprint, None):
            shutil.rmtree(folder, ignore_errors=True)
        _UNPACKED.pop(self.fingerprint, None)
        _load.cache_clear()


_FOLDERS: dict[str, Path] = {}
_UNPACKED: dict[str, str] = {}
"""What --checkpoint names in this process, by the fingerprint of the model."""


def load_unpacked(fingerprint: str, accelerator: Accelerator, *, number: int) -> Predictor:
    """The model that a worker has got; it is loaded once.

    Args:
        fingerprint: of the model.
        accelerator: the device to compute on.
        number: of the worker: those of one machine take its GPUs in turn.
    """
    with COMPUTING:
        return _load(fingerprint, accelerator, number)


@lru_cache(maxsize=1)
def _load(fingerprint: str, accelerator: Accelerator, number: int) -> Predictor:
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())
    return load_predictor(_UNPACKED[fingerprint], accelerator=accelerator)


def _list_files(checkpoint: str) -> list[Path]:
    """The files of one model, that to load first."""
    file = find_model_file(checkpoint)
    beside = {".safetensors": find_info(file.parent), ".xml": file.with_suffix(".bin")}
    return [file, *filter(None, [beside.get(file.suffix)])]
