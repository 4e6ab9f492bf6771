"""Training on two machines, each a process here, with the environment of torchrun and of SLURM."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tiramisu.checkpoints.checkpoint import load_model

RECIPE = "{arch: fc56, crop: [32, 32], batch_size: 2, epochs: 1, lr: 0.001, num_nodes: 2}"


def find_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def as_torchrun(node: int, port: str) -> tuple[list[str], dict[str, str]]:
    launcher = ["torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    place = ["--node-rank", str(node), "--master-addr", "127.0.0.1", "--master-port", port]
    return [*launcher, *place, "-m"], {}


def as_slurm(node: int, port: str) -> tuple[list[str], dict[str, str]]:
    variables = {
        "SLURM_JOB_ID": "1234",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "2",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_PROCID": str(node),
        "SLURM_NODEID": str(node),
        "SLURM_LOCALID": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    return [], variables


@pytest.mark.slow
@pytest.mark.parametrize("launch", [as_torchrun, as_slurm])
def test_two_machines_train_one_network(launch, rectangles: Path, tmp_path: Path) -> None:
    port = find_port()
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    nodes = []
    for node in range(2):
        launcher, variables = launch(node, port)
        words = ["tiramisu", "train", "--data", str(rectangles), "--out", "run"]
        words += ["--config", "recipe.yaml", "--accelerator", "cpu"]
        nodes.append(
            subprocess.Popen(
                [sys.executable, "-m", *launcher, *words],
                cwd=tmp_path,
                env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        said = [node.communicate(timeout=240) for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [0, 0], said
    assert load_model(tmp_path / "run").info.metrics["mean_iou"] > 0
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["run"]
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert rows[1].split(",")[:2] == ["1", "1"]  # six images, two processes, pairs: one step
    assert "mean IoU" in said[0][0]
    assert "mean IoU" not in said[1][0], "one process speaks"
