"""One file from storage, predicted, and its results in storage: what a worker does."""

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch

from tiramisu.data.json_file import parse_json
from tiramisu.inference.config import PredictConfig
from tiramisu.inference.image_results import describe_source, list_cells
from tiramisu.inference.inputs import Input, describe_failure
from tiramisu.inference.maps import find_maps
from tiramisu.inference.overlapping import overlap
from tiramisu.inference.predict_input import InputPrediction, check_kind, result_files
from tiramisu.inference.predictor import Predictor
from tiramisu.jobs.cluster import find_place, find_scratch
from tiramisu.jobs.journal import Outcome
from tiramisu.jobs.packed_model import COMPUTING, load_unpacked
from tiramisu.jobs.sources import Source, longer_name
from tiramisu.jobs.storage import Store, fetch, is_url
from tiramisu.text import path_text


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is the same for all inputs of a job."""

    job: str
    """Name of the job, which is in the JSON of each of its results."""
    fingerprint: str
    """Of the model; see `PackedModel`."""
    config: PredictConfig


def predict_chunk(sources: Sequence[Source], *, work: Work) -> list[Outcome]:
    """Predict some files, in a worker, by the model that it has got.

    Raises:
        OSError: results cannot be written.
    """
    place = find_place()
    torch.set_num_threads(place.threads)
    model = load_unpacked(work.fingerprint, work.config.accelerator, number=place.number)
    return predict_sources(model, sources, work=work)


def predict_sources(model: Predictor, sources: Sequence[Source], *, work: Work) -> list[Outcome]:
    """Predict some files; what fails is told, and does not stop the others.

    Raises:
        OSError: results cannot be written.
    """
    outcomes = []
    with ExitStack() as opened:
        folder = Path(
            opened.enter_context(
                tempfile.TemporaryDirectory(prefix="tiramisu-", dir=find_scratch())
            )
        )
        inputs = (
            StoredInput(model, source, folder / str(number), work=work)
            for number, source in enumerate(sources)
        )
        for done, error in opened.enter_context(closing(overlap(inputs))):
            place = path_text(done.source.place)
            if error is None:
                row = list_cells(done.described, class_names=model.info.class_names)
                outcomes.append(Outcome(source=place, row=row, was_done=done.was_done))
            else:
                outcomes.append(Outcome(source=place, row=None, reason=done.explain(error)))
    return outcomes


class StoredInput:
    """A file on its way from storage to results in storage; see `Stages`.

    Args:
        model: predicts.
        source: the file.
        folder: for copies on this machine; it is made, and removed at the end.
        work: the job.
    """

    def __init__(self, model: Predictor, source: Source, folder: Path, *, work: Work) -> None:
        self.model = model
        self.source = source
        self.work = work
        self.folder = folder
        self.store = Store(place=work.config.out)
        self.described: dict[str, object] = {}
        """Its JSON, once it is done."""
        self.was_done = False
        self._name = source.name
        self._prediction: InputPrediction

    def read(self) -> None:
        """Fetch and decode the file, unless its results are there already."""
        if self._find_result():
            return
        try:
            self._read()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise ValueError(str(error)) from None  # a fault of this file, not of the job

    def _read(self) -> None:
        config, place = self.work.config, self.source.place
        self.folder.mkdir()
        path = fetch(place, self.folder) if is_url(place) else Path(place)
        item = Input(path=path, name=self._name)
        is_map = not item.is_video and path in find_maps([path])
        check_kind(item, config, is_map=is_map)
        out = self.store.folder or self.folder / "results"
        self._prediction = InputPrediction(
            self.model,
            item,
            result_files(item, out, config, is_map=is_map),
            config,
            is_map=is_map,
            source={**describe_source(place, config), "job": self.work.job},
        )
        self._prediction.read()

    def predict(self) -> None:
        """Run the network."""
        if not self.was_done:
            with COMPUTING:
                self._prediction.predict()

    def write(self) -> None:
        """Write the results into the storage, the JSON last."""
        if self.was_done:
            return
        files = self._prediction.files
        self._prediction.write()
        if self.store.folder is None:
            for ending, file in files.items():
                self.store.put(file, f"{self._name}{ending}")
        self.described = {**self._prediction.source, **self._prediction.summary}
        shutil.rmtree(self.folder, ignore_errors=True)

    def explain(self, error: Exception) -> str:
        """What an error says about the file. An error that is no fault of it is raised again."""
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            # An error of a class with arguments of its own cannot be pickled on its way back.
            raise OSError(str(error)) from None
        reason = describe_failure(self.source.place, error, smaller="--tile")
        return reason.replace(f"{self.folder}/", "")

    def _find_result(self) -> bool:
        """Whether the results are there; where another input has them, the name is made longer."""
        for name in (self.source.name, longer_name(self.source)):
            self._name = name
            found = self.store.read(f"{name}.json")
            if found is None:
                return False
            described = parse_json(found, origin=f"{name}.json")
            if not isinstance(described, dict) or described.get("job") != self.work.job:
                return False
            if described.get("input") == path_text(self.source.place):
                self.described, self.was_done = described, True
                return True
        return False
