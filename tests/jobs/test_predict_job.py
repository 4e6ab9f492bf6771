import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image
from pretended_workers import Pretended, pretend_workers

from tiramisu.checkpoints.checkpoint import save_model
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.inference.config import PredictConfig
from tiramisu.inference.files import predict_files
from tiramisu.jobs import predict_job, stored_input
from tiramisu.jobs.predict_job import JobSummary, needs_job, predict_many
from tiramisu.jobs.predict_job import predict_job as run_job
from tiramisu.jobs.sources import find_sources
from tiramisu.models import build_model

COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    return pretend_workers(monkeypatch)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a.png", "x/a.png", "x/b.png", "y/c.png", "y/d.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "in" / name)
    return tmp_path / "in"


@pytest.fixture(scope="module")
def tiny_model() -> SegmentationModel:
    torch.manual_seed(0)
    info = ModelInfo(arch="fc56", class_names=("sky", "wall", "road"), colors=COLORS)
    return SegmentationModel(build_model("fc56", num_classes=3), info).eval()


@pytest.fixture
def checkpoint(tiny_model: SegmentationModel, tmp_path: Path) -> str:
    save_model(tiny_model, tmp_path / "model")
    return str(tmp_path / "model")


@pytest.fixture
def start(checkpoint: str, photos: Path, tmp_path: Path) -> Callable[..., JobSummary]:
    def run(*sources: object, **changes: Any) -> JobSummary:
        changes = {"out": str(tmp_path / "out"), "recursive": True, **changes}
        config = PredictConfig(checkpoint=checkpoint, **changes)
        return run_job([str(source) for source in sources or (photos,)], config=config)

    return run


def masks_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): np.asarray(Image.open(path)).tobytes()
        for path in sorted(folder.rglob("*_mask.png"))
    }


@pytest.fixture
def expected(tiny_model: SegmentationModel, photos: Path, tmp_path: Path) -> dict[str, bytes]:
    out = tmp_path / "alone"
    config = PredictConfig(checkpoint="x", out=str(out), recursive=True)
    predict_files(tiny_model, [photos], config=config)
    return masks_in(out)


def test_masks_are_those_of_a_single_process(
    start: Callable[..., JobSummary], workers: Pretended, expected: dict, tmp_path: Path
) -> None:
    summary = start(workers=2)
    assert (summary.done, summary.skipped, summary.failed) == (5, 0, {})
    assert masks_in(tmp_path / "out") == expected
    assert len(expected) == 5
    assert workers.chunks == [2, 2, 1]
    assert sum(summary.shares.values()) == pytest.approx(1)
    with_shares = (tmp_path / "out/shares.csv").read_text().splitlines()
    assert with_shares[1:] == sorted(with_shares[1:])
    assert len(with_shares) == 6


def test_object_storage_holds_the_same(
    start: Callable[..., JobSummary], expected: dict, photos: Path, tmp_path: Path
) -> None:
    bucket = f"memory://{tmp_path}/bucket"
    memory = fsspec.filesystem("memory")
    memory.put(str(photos), f"{bucket}/in", recursive=True)
    summary = start(f"{bucket}/in", out=f"{bucket}/out")
    assert summary.done == 5
    memory.get(f"{bucket}/out", str(tmp_path / "back"), recursive=True)
    assert masks_in(tmp_path / "back") == expected
    assert json.loads((tmp_path / "back/x/b.json").read_text())["input"].startswith("memory://")
    assert start(f"{bucket}/in", out=f"{bucket}/out").skipped == 5


def test_the_same_command_does_only_what_is_missing(
    start: Callable[..., JobSummary], photos: Path, tmp_path: Path
) -> None:
    start(photos / "x")
    before = (tmp_path / "out/b.json").read_text()
    for name in ("job.json", "shares.csv"):
        assert (tmp_path / "out" / name).is_file()
    # As after SIGKILL: the results are there, and no table of them.
    (tmp_path / "out/shares.csv").unlink()
    (tmp_path / "out/a.json").unlink()
    summary = start(photos / "x")
    assert (summary.done, summary.skipped) == (1, 1)
    assert (tmp_path / "out/b.json").read_text() == before
    assert len((tmp_path / "out/shares.csv").read_text().splitlines()) == 3


def test_another_input_of_the_same_name_gets_a_longer_one(
    start: Callable[..., JobSummary], photos: Path, tmp_path: Path
) -> None:
    start(photos / "x" / "a.png")
    before = (tmp_path / "out/a_mask.png").read_bytes()
    assert start(photos / "a.png").done == 1
    assert (tmp_path / "out/a_mask.png").read_bytes() == before
    assert len(list((tmp_path / "out").glob("a-*_mask.png"))) == 1
    assert start(photos / "a.png").skipped == 1


def test_what_fails_is_listed_and_tried_again_when_told(
    start: Callable[..., JobSummary], photos: Path, tmp_path: Path
) -> None:
    whole = (photos / "a.png").read_bytes()
    (photos / "a.png").write_bytes(whole[:30])
    summary = start()
    assert summary.done == 4
    assert list(summary.failed) == [str(photos / "a.png")]
    with pytest.raises(ValueError, match=r"1 of 5 files failed.*failed\.csv.*--retry-failed"):
        summary.raise_failures()
    assert "a.png is damaged" in (tmp_path / "out/failed.csv").read_text()
    (photos / "a.png").write_bytes(whole)
    again = start()
    assert (again.done, again.skipped, len(again.failed)) == (0, 4, 1)
    assert (tmp_path / "out/failed.csv").read_text().count("\n") == 2
    last = start(retry_failed=True)
    assert (last.done, last.skipped, last.failed) == (1, 4, {})
    assert (tmp_path / "out/failed.csv").read_text() == "input,reason\n"


def test_an_image_that_ends_its_worker_is_found(
    start: Callable[..., JobSummary], workers: Pretended, tmp_path: Path
) -> None:
    workers.deadly = ("y/c.png",)
    summary = start(workers=2)
    assert summary.done == 4
    assert {Path(place).name: reason for place, reason in summary.failed.items()} == {
        "c.png": "the worker's process was killed"
    }


def test_other_settings_are_refused_before_any_work(
    start: Callable[..., JobSummary], tmp_path: Path
) -> None:
    start()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    with pytest.raises(ValueError, match="another opacity"):
        start(opacity=0.25)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    assert start(opacity=0.25, overwrite=True).done == 5


def test_files_that_are_no_results_of_the_job_are_kept(
    start: Callable[..., JobSummary], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a_mask.png").write_text("mine")
    with pytest.raises(ValueError, match=r"already holds results: a_mask\.png"):
        start()
    assert (tmp_path / "out/a_mask.png").read_text() == "mine"


def test_lists_name_files_and_urls(
    start: Callable[..., JobSummary], photos: Path, tmp_path: Path
) -> None:
    url = f"memory://{tmp_path}/z/e.png"
    fsspec.filesystem("memory").put(str(photos / "a.png"), url)
    listed = tmp_path / "list.txt"
    listed.write_text(f"{photos}/x/b.png\n\n{photos}/y/c.png\n")
    found = find_sources([str(listed), url], recursive=False, out="out")
    assert [source.name for source in found] == ["x/b", "y/c", "e"]
    assert start(listed, url).done == 3
    assert (tmp_path / "out/x/b_mask.png").is_file()
    with pytest.raises(FileNotFoundError, match=r"there is no list .*none\.txt"):
        find_sources([str(tmp_path / "none.txt")], recursive=False, out="out")
    listed.write_text("\n")
    with pytest.raises(ValueError, match="is empty; expected a path or a URL in each line"):
        find_sources([str(listed)], recursive=False, out="out")
    listed.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="is no text"):
        find_sources([str(listed)], recursive=False, out="out")


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (["a.png"], ["a"]),
        (["x/a.png", "x/b.v2.png"], ["a", "b.v2"]),
        (["x/a.png", "x-1/b.png", "x/y/c.png"], ["x/a", "x-1/b", "x/y/c"]),
        (["https://host/x/a.png?size=2", "https://host/x/y/b.png"], ["a", "y/b"]),
        (["x/a.png", "x/a.jpg"], ["a", "a-1853ffea"]),
    ],
)
def test_names_keep_the_folders_in_which_files_differ(
    places: list[str], names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("\n".join(places))
    found = find_sources(["list.txt"], recursive=False, out="out")
    assert [re.sub("-[0-9a-f]{8}$", "-1853ffea", source.name) for source in found] == names


def test_what_needs_a_job() -> None:
    config = PredictConfig(checkpoint="x")
    assert not needs_job(["a.png", "folder"], config)
    assert needs_job(["list.TXT"], config)
    assert needs_job(["s3://bucket"], config)
    assert needs_job(["a.png"], PredictConfig(checkpoint="x", out="gs://bucket/out"))
    assert needs_job(["a.png"], PredictConfig(checkpoint="x", workers=1))
    assert needs_job(["a.png"], PredictConfig(checkpoint="x", scheduler="tcp://a:1"))


def test_from_python_a_model_or_its_name_predict_the_same(
    tiny_model: SegmentationModel, checkpoint: str, photos: Path, expected: dict, tmp_path: Path
) -> None:
    recursive = PredictConfig(checkpoint="any", recursive=True)
    for number, model in enumerate((tiny_model, checkpoint, Path(checkpoint))):
        out = tmp_path / f"out{number}"
        summary = predict_many(model, photos, out, config=recursive)
        assert summary.done == 5
        assert "5 files predicted" in str(summary)
        assert masks_in(out) == expected
    again = predict_many(tiny_model, [photos / "a.png"], tmp_path / "out1")
    assert (again.done, again.skipped) == (0, 1)
    assert json.loads((tmp_path / "out0/a.json").read_text())["checkpoint"] == "fc56"


def test_no_name_leads_out_of_the_folder_of_the_results(
    start: Callable[..., JobSummary], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos / "x")
    beside = tmp_path / "in/y/c_mask.png"
    beside.write_text("mine")
    lines = ["a.png", "../y/c.png", "./a.png", str(photos / "x/b.png"), f"{'x' * 300}.png"]
    Path(tmp_path / "list.txt").write_bytes("\ufeff".encode() + "\r\n".join(lines).encode())
    fsspec.filesystem("memory").put(str(photos / "a.png"), f"memory://{tmp_path}/z/q?1.png")
    fsspec.filesystem("memory").put(str(photos / "a.png"), f"memory://{tmp_path}/z/q?2.png")
    summary = start(tmp_path / "list.txt", f"memory://{tmp_path}/z", workers=None)
    assert summary.done == 5, "the same file twice is one"
    assert [Path(place).name[:5] for place in summary.failed] == ["xxxxx"]
    assert beside.read_text() == "mine"
    made = {
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*_mask.png")
    }
    assert {"x/a_mask.png", "x/b_mask.png", "y/c_mask.png", "q?1_mask.png"} <= made
    found = find_sources(
        [str(photos / "a.png"), str(tmp_path / "list.txt")], recursive=False, out="o"
    )
    assert all(".." not in source.name and source.name[0] != "/" for source in found)


def test_an_input_has_no_name_that_the_job_needs(
    start: Callable[..., JobSummary], photos: Path, tmp_path: Path
) -> None:
    for name in ("job.png", "shares.png", "parts/p.png"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_bytes((photos / "a.png").read_bytes())
    assert start().done == 8
    assert len(list((tmp_path / "out").rglob("*_mask.png"))) == 8
    assert json.loads((tmp_path / "out/job.json").read_text())["job"]
    assert start().skipped == 8


def test_a_job_that_begins_anew_and_is_stopped_forgets_the_old_one(
    start: Callable[..., JobSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    before = (tmp_path / "out/a_overlay.png").read_bytes()

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(predict_job, "predict_sources", stop)
        with pytest.raises(KeyboardInterrupt, match="stopped: at least 0 of 5 files are done"):
            start(opacity=0.9, overwrite=True)
    assert start(opacity=0.9).done == 5
    assert (tmp_path / "out/a_overlay.png").read_bytes() != before


def test_results_are_no_inputs(
    start: Callable[..., JobSummary], photos: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="is both input and output"):
            start(photos, out=str(photos))
    bucket = f"memory://{tmp_path}/f"
    fsspec.filesystem("memory").put(str(photos / "a.png"), f"{bucket}/a.png")
    with pytest.raises(ValueError, match="is both input and output"):
        start(bucket, out=f"{bucket}/")
    assert start(bucket, out=f"{bucket}/masks").done == 1
    assert start(bucket, out=f"{bucket}/masks").skipped == 1
    (photos / "a_mask.png").write_bytes((photos / "a.png").read_bytes())
    with pytest.raises(ValueError, match=r"would replace the input .*a_mask\.png"):
        start(photos / "a.png", photos / "a_mask.png", out=str(photos / "." / ".." / "in"))


def test_nested_results_of_others_are_kept(
    start: Callable[..., JobSummary], tmp_path: Path
) -> None:
    (tmp_path / "out/x").mkdir(parents=True)
    (tmp_path / "out/x/b_mask.png").write_text("mine")
    with pytest.raises(ValueError, match=r"already holds results: x/b_mask\.png"):
        start()
    with pytest.raises(ValueError, match=r"already holds results: x/b_mask\.png"):
        start(probabilities=True)
    (tmp_path / "out/x/b_mask.png").rename(tmp_path / "out/x/b_probabilities.npz")
    with pytest.raises(ValueError, match=r"already holds results: x/b_probabilities\.npz"):
        start(probabilities=True)


def test_an_image_that_cannot_be_read_does_not_stop_the_job(
    start: Callable[..., JobSummary], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = stored_input.fetch

    def refuse(url: str, folder: Path) -> Path:
        if "b.png" in url:
            raise PermissionError(13, "denied")
        return fetch(url, folder)

    monkeypatch.setattr(stored_input, "fetch", refuse)
    bucket = f"memory://{photos}/bucket"
    fsspec.filesystem("memory").put(str(photos), bucket, recursive=True)
    summary = start(bucket)
    assert summary.done == 4
    assert ["denied" in reason for reason in summary.failed.values()] == [True]


def test_a_line_break_in_a_name_stays_in_its_line(
    start: Callable[..., JobSummary], photos: Path, tmp_path: Path
) -> None:
    (photos / "a.png").rename(photos / "new\nline\u2028.png")
    start()
    before = (tmp_path / "out/shares.csv").read_bytes()
    shares = start().shares
    assert (tmp_path / "out/shares.csv").read_bytes() == before
    assert sum(shares.values()) == pytest.approx(1)
