"""What a job has done, beside its results: what another start of the same command goes on from.

`job.json` holds the model and the settings: results of others are never mixed with them.
`shares.csv` has a line for each result and `failed.csv` one for each input that failed. While the
job runs, `.tiramisu-parts/` holds their newest lines, so that little is lost when it is killed.
"""

import csv
import io
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tiramisu.inference.image_results import TABLE_NAME, format_rows, read_rows
from tiramisu.jobs.sources import JOB_NAME
from tiramisu.jobs.storage import Store
from tiramisu.text import list_some

FAILED_NAME = "failed.csv"
PARTS = ".tiramisu-parts"
PART_SIZE = 1000
"""Results in a part."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What has become of an input."""

    source: str
    """Its path or URL."""
    row: list[str] | None
    """Its line of the table of shares; None if it has failed."""
    reason: str = ""
    """Why it has failed."""
    was_done: bool = False
    """Whether its results were there already."""


class Journal:
    """The state of a job, read and written in the folder of its results.

    Args:
        store: the folder of the results.
        fingerprint: what results depend on, by name: the model and the settings.
        class_names: names of all classes.
        targets: names of files that the job will write: a new job replaces none.
        overwrite: whether to begin anew where another job, or this one, has results.

    Raises:
        ValueError: the folder holds the results of another job.
        OSError: the storage cannot be reached.
    """

    def __init__(
        self,
        store: Store,
        *,
        fingerprint: Mapping[str, Any],
        class_names: Sequence[str],
        targets: Collection[str] = (),
        overwrite: bool = False,
    ) -> None:
        self._store = store
        self._class_names = class_names
        self.rows: dict[str, list[str]] = {}
        self.failed: dict[str, str] = {}
        before = None if overwrite else store.read(JOB_NAME)
        if before is None:
            if not overwrite:
                self._refuse_others(targets)
            self.job = self._begin(fingerprint)
        else:
            self.job = self._check(before, fingerprint)
            self.rows, self.failed = self._read_tables()
        self._new: list[Outcome] = []
        parts = store.list_names(PARTS)
        self._next_part = int(parts[-1].partition(".")[0]) + 1 if parts else 0

    def add(self, outcome: Outcome) -> None:
        """Note what has become of an input."""
        self._new.append(outcome)
        if outcome.row is not None:
            self.rows[outcome.source] = outcome.row
            self.failed.pop(outcome.source, None)
        else:
            self.failed[outcome.source] = outcome.reason
        if len(self._new) >= PART_SIZE:
            self.flush()

    def flush(self) -> None:
        """Write what is new as a part."""
        if self._new:
            name = f"{PARTS}/{self._next_part:06}.json"
            lines = [[outcome.source, outcome.row, outcome.reason] for outcome in self._new]
            self._store.write(name, json.dumps(lines))
            self._next_part += 1
            self._new = []

    def finish(self) -> None:
        """Write the tables, which hold all parts."""
        self._store.write(
            TABLE_NAME, format_rows(self.rows.values(), class_names=self._class_names)
        )
        text = io.StringIO()
        lines = sorted(self.failed.items())
        csv.writer(text, lineterminator="\n").writerows([("input", "reason"), *lines])
        if lines or self._store.read(FAILED_NAME) is not None:
            self._store.write(FAILED_NAME, text.getvalue())
        self._store.remove(PARTS)
        self._new = []

    def shares(self) -> dict[str, float]:
        """The share of each class in the pixels of all results."""
        sums: npt.NDArray[np.float64] = np.zeros(len(self._class_names))
        for row in self.rows.values():
            width, height = int(row[1]), int(row[2])
            sums += width * height * np.array(row[-len(sums) :], dtype=np.float64)
        total = sums.sum()
        return dict(zip(self._class_names, (sums / total).tolist(), strict=True)) if total else {}

    def _begin(self, fingerprint: Mapping[str, Any]) -> str:
        # Before the job has its name: what they hold is of another one.
        for name in (JOB_NAME, TABLE_NAME, FAILED_NAME):
            self._store.delete(name)
        self._store.remove(PARTS)
        job = secrets.token_hex(6)
        self._store.write(JOB_NAME, json.dumps({"job": job, **fingerprint}, indent=2) + "\n")
        return job

    def _check(self, before: bytes, fingerprint: Mapping[str, Any]) -> str:
        try:
            found = json.loads(before)
            job = str(found.pop("job"))
        except (ValueError, KeyError, AttributeError, TypeError):
            raise ValueError(
                f"{self._store.place}/{JOB_NAME} is damaged; give another --out, or begin anew "
                "with --overwrite"
            ) from None
        others = [name for name in fingerprint if found.get(name) != fingerprint[name]]
        if others:
            raise ValueError(
                f"{self._store.place} holds results with another {', '.join(others)}, which are "
                "not mixed; give another --out, or replace them with --overwrite"
            )
        return job

    def _refuse_others(self, targets: Collection[str]) -> None:
        lost = [name for name in self._store.walk() if name in targets or name == TABLE_NAME]
        if lost:
            raise ValueError(
                f"{self._store.place} already holds results: {list_some(lost, most=5)}; give "
                "another --out, or replace them with --overwrite"
            )

    def _read_tables(self) -> tuple[dict[str, list[str]], dict[str, str]]:
        table, failures = (self._store.read(name) or b"" for name in (TABLE_NAME, FAILED_NAME))
        rows = read_rows(table.decode(errors="replace"), class_names=self._class_names)
        lines = csv.reader(io.StringIO(failures.decode(errors="replace"), newline=""))
        failed = {line[0]: line[1] for line in list(lines)[1:] if len(line) == 2}
        for name in self._store.list_names(PARTS):
            for source, row, reason in json.loads(self._store.read(f"{PARTS}/{name}") or b"[]"):
                if row is not None:
                    rows[source] = row
                    failed.pop(source, None)
                else:
                    failed[source] = reason
        return rows, failed
