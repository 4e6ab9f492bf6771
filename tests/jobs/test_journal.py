import csv
import json
from pathlib import Path

import pytest

from tiramisu.jobs import journal as journal_module
from tiramisu.jobs.journal import Journal, Outcome
from tiramisu.jobs.storage import Store

FINGERPRINT = {"model": "abc", "tta": False}
CLASSES = ("sky", "road")


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    place = str(tmp_path) if request.param == "disk" else f"memory://{tmp_path}"
    return Store(place=place)


def start(store: Store, *, overwrite: bool = False, **changes: object) -> Journal:
    fingerprint = {**FINGERPRINT, **changes}
    return Journal(store, fingerprint=fingerprint, class_names=CLASSES, overwrite=overwrite)


def row(name: str, *, width: int = 10, sky: float = 0.25) -> Outcome:
    cells = [name, str(width), "10", "0.9", str(sky), str(1 - sky)]
    return Outcome(source=name, row=cells)


def test_a_job_goes_on_from_its_tables_and_its_parts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PART_SIZE", 2)
    first = start(store)
    first.add(row("a,1.png"))
    first.add(Outcome(source="b.png", row=None, reason="it is\ndamaged"))
    first.add(row("c.png"))  # lost: its part was never written
    second = start(store)
    assert second.job == first.job
    assert set(second.rows) == {"a,1.png"}
    assert second.failed == {"b.png": "it is\ndamaged"}
    second.add(row("b.png"))
    second.add(row("c.png"))
    second.add(Outcome(source="d.png", row=None, reason="no"))
    second.finish()
    third = start(store)
    assert set(third.rows) == {"a,1.png", "b.png", "c.png"}
    assert third.failed == {"d.png": "no"}
    table = (store.read("shares.csv") or b"").decode().splitlines()
    assert table[0] == "input,width,height,mean_confidence,sky,road"
    assert [line[0] for line in csv.reader(table[1:])] == ["a,1.png", "b.png", "c.png"]
    assert (store.read("failed.csv") or b"").decode() == "input,reason\nd.png,no\n"
    assert store.list_names("parts") == []


def test_the_list_of_failures_empties_when_they_are_mended(store: Store) -> None:
    journal = start(store)
    journal.finish()
    assert store.read("failed.csv") is None, "none for a job without failures"
    journal.add(Outcome(source="a.png", row=None, reason="no"))
    journal.finish()
    journal.add(row("a.png"))
    journal.finish()
    assert store.read("failed.csv") == b"input,reason\n"


def test_results_of_another_model_or_other_settings_are_never_mixed(store: Store) -> None:
    start(store)
    with pytest.raises(ValueError, match=r"holds results with another tta, which are not mixed"):
        start(store, tta=True)
    with pytest.raises(ValueError, match="another model"):
        start(store, model="def")
    before = start(store)
    before.add(row("a.png"))
    before.finish()
    after = start(store, tta=True, overwrite=True)
    assert after.job != before.job
    assert not after.rows
    start(store, tta=True)


def test_what_another_prediction_has_left_is_kept(store: Store) -> None:
    store.write("shares.csv", "mine")
    with pytest.raises(ValueError, match=r"already holds results: shares\.csv"):
        start(store)
    assert store.read("shares.csv") == b"mine"
    assert store.read("job.json") is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '"job"'])
def test_a_damaged_journal_is_named(store: Store, content: str) -> None:
    store.write("job.json", content)
    with pytest.raises(ValueError, match=r"job\.json is damaged; give another --out"):
        start(store)


def test_shares_of_all_count_pixels(store: Store) -> None:
    journal = start(store)
    assert journal.shares() == {}
    journal.add(row("a", width=10, sky=1.0))
    journal.add(row("b", width=30, sky=0.0))
    assert journal.shares() == {"sky": 0.25, "road": 0.75}


def test_the_job_says_what_made_its_results(store: Store) -> None:
    journal = start(store)
    assert json.loads(store.read("job.json") or b"") == {"job": journal.job, **FINGERPRINT}
