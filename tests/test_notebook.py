"""The notebook in examples/ runs from its first cell to its last."""

import ast
import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "quickstart.ipynb"


def test_quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert sum("epochs=6," in source for source in sources) == 1
    scope: dict[str, object] = {}
    shown = [_run(source.replace("epochs=6,", "epochs=1,"), scope) for source in sources]
    run, files, prediction = shown[0], shown[1], shown[2]
    assert "mIoU" in run._repr_html_()
    assert {"report.html", "model.safetensors", "metrics.csv"} <= set(files)
    assert "<img" in prediction._repr_html_()
    assert sum(shown[3].values()) == pytest.approx(1)
    assert shown[4][0] == (11, 144, 192)
    assert all(cell["outputs"] == [] for cell in cells if cell["cell_type"] == "code")


def _run(source: str, scope: dict[str, object]) -> object:
    """Run a cell; returns what a notebook would show: the value of its last line."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), scope)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), scope)
