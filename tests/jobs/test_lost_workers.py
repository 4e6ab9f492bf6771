"""A job on object storage whose workers and scheduler are killed, and that is started again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from object_storage import serve_s3
from PIL import Image

from tiramisu.jobs.cluster import CHUNK

FRAMES = 200
PORT_FILE = "scheduler.json"


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with serve_s3(monkeypatch) as client:
        client.create_bucket(Bucket="road")
        rng = np.random.default_rng(0)
        for number in range(FRAMES):
            file = tmp_path / "in" / f"drive{number % 3}" / f"{number:04}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)).save(file)
            name = file.relative_to(tmp_path).as_posix()
            client.upload_file(str(file), "road", name)
        yield client


def start(*words: str, **kinds: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-m", *words], text=True, **kinds)


def list_results(client: Any) -> dict[str, str]:
    """The names of all results, and when each was written."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="road", Prefix="out/")
    return {
        entry["Key"]: entry["ETag"] + str(entry["LastModified"])
        for page in pages
        for entry in page.get("Contents", [])
    }


def count_done(client: Any) -> int:
    return sum(
        name.startswith("out/drive") and name.endswith(".json") for name in list_results(client)
    )


def wait_for(client: Any, number: int, process: "subprocess.Popen[str]") -> None:
    for _ in range(1200):
        if count_done(client) >= number:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("the job makes no progress")


@pytest.mark.slow
def test_a_job_goes_on_after_its_worker_and_its_scheduler_were_killed(
    bucket: Any, tmp_path: Path
) -> None:
    file = tmp_path / PORT_FILE
    dask = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = []

    def start_cluster() -> "tuple[subprocess.Popen[str], list[subprocess.Popen[str]]]":
        file.unlink(missing_ok=True)
        place = ("--scheduler-file", str(file), "--no-dashboard")
        scheduler = start("distributed.cli.dask_scheduler", "--port", "0", *place, **dask)
        flags = ("--nthreads", "1", "--no-nanny", "--death-timeout", "60")
        workers = [start("distributed.cli.dask_worker", *place, *flags, **dask) for _ in range(2)]
        started.extend([scheduler, *workers])
        while not (file.is_file() and file.read_text()):
            time.sleep(0.1)
        return scheduler, workers

    def predict() -> "subprocess.Popen[str]":
        address = json.loads(file.read_text())["address"]
        words = ["predict", "s3://road/in", "--out", "s3://road/out", "--scheduler", address]
        words += ["--checkpoint", "fc56_camvid_half"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(start("tiramisu", *words, **pipes))
        return started[-1]

    try:
        scheduler, workers = start_cluster()
        job = predict()
        wait_for(bucket, 20, job)
        workers[0].send_signal(signal.SIGKILL)
        wait_for(bucket, 60, job)
        scheduler.kill()
        said = job.communicate(timeout=120)[1]
        assert job.returncode == 2
        assert "the same command goes on" in said
        workers[1].kill()
        workers[1].wait()
        before = list_results(bucket)
        done = count_done(bucket)
        assert done < FRAMES

        start_cluster()
        job = predict()
        said, errors = job.communicate(timeout=300)
        assert job.returncode == 0, errors
    finally:
        for process in started:
            process.kill()
            process.wait()

    after = list_results(bucket)
    predicted = int(said.split(" files predicted")[0].split()[-1])
    assert predicted + done - FRAMES < 2 * CHUNK, "redone"
    redone = [n for n in before if n.endswith("_mask.png") and after[n] != before[n]]
    assert len(redone) < 2 * CHUNK
    # A single process on the same frames.
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    words = ("predict", str(tmp_path / "in"), "--recursive", "--out", str(tmp_path / "out"))
    alone = start("tiramisu", *words, "--checkpoint", "fc56_camvid_half", env=env)
    assert alone.wait(timeout=300) == 0
    masks = sorted((tmp_path / "out").rglob("*_mask.png"))
    assert len(masks) == FRAMES == sum(name.endswith("_mask.png") for name in after)
    for mask in masks:
        name = f"out/{mask.relative_to(tmp_path / 'out').as_posix()}"
        copy = tmp_path / "copy.png"
        bucket.download_file("road", name, str(copy))
        assert (np.asarray(Image.open(copy)) == np.asarray(Image.open(mask))).all(), name
    table = bucket.get_object(Bucket="road", Key="out/shares.csv")["Body"].read().decode()
    assert len(table.splitlines()) == FRAMES + 1
    assert not [name for name in after if "/parts/" in name]
