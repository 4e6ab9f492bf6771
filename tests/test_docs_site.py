"""The documentation as a site: it is built strictly, and its pages say what the code is."""

import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import CLONE, DOCS
from test_imports import LEVELS

import tiramisu

REFERENCE = "\n".join(page.read_text() for page in sorted((DOCS / "api").glob("*.md")))
LARGEST = 300_000
"""Bytes of a picture."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    for name in ("mkdocs", "material", "mkdocstrings_handlers"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f'building needs {name}: pip install "tiramisu-seg[docs]"')
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=CLONE,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).with_suffix("")
        file = site / "index.html" if str(name) == "index" else site / name / "index.html"
        assert file.is_file()


def test_the_reference_holds_docstrings(site: Path) -> None:
    page = (site / "api/training/index.html").read_text()
    assert 'id="tiramisu.TrainConfig.epochs"' in page
    assert "Network: fc56, fc67 or fc103" in page
    assert 'id="tiramisu.TrainConfig.groups"' in page  # of a class that it is derived from


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'(?:src|srcset)="(https?://[^"]*)|<link[^>]*href="(https?:[^"]*)', page.read_text()
        )
        assert loaded == [], page


@pytest.mark.parametrize("name", sorted(tiramisu.__all__))
def test_every_public_name_has_a_docstring_and_is_in_the_reference(name: str) -> None:
    assert re.findall(rf"^::: tiramisu\.{name}$", REFERENCE, re.MULTILINE) == [
        f"::: tiramisu.{name}"
    ]
    value = getattr(tiramisu, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert "__doc__" in vars(value) or inspect.isfunction(value)
        assert inspect.getdoc(value), f"{name} has no docstring"
        assert not (value.__doc__ or "").startswith(f"{name}("), "that is only the signature"


def test_the_reference_has_no_other_names() -> None:
    assert set(re.findall(r"^::: tiramisu\.(\w+)$", REFERENCE, re.MULTILINE)) == set(
        tiramisu.__all__
    )


def test_the_page_about_the_code_has_its_levels() -> None:
    page = (DOCS / "architecture.md").read_text()
    (block,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    assert [set(line.split(", ")) for line in block.splitlines()] == LEVELS[::-1], (
        "docs/architecture.md: the lines of rooms differ from LEVELS in tests/test_imports.py"
    )


def test_the_page_about_the_code_names_files_that_exist() -> None:
    page = (DOCS / "architecture.md").read_text()
    (house,) = re.findall(r"```\n(tiramisu/.*?)```", page, re.DOTALL)
    for name in re.findall(r"[\w/]+\.py\b", house):
        assert list((CLONE / "tiramisu").rglob(name)), name
    for room in re.findall(r"^ +(\w+)/", house, re.MULTILINE):
        assert list((CLONE / "tiramisu").rglob(room)), room


def test_pictures_are_small() -> None:
    pictures = [path for path in DOCS.rglob("*") if path.suffix in (".png", ".svg", ".jpg")]
    assert pictures
    assert {
        path.name: path.stat().st_size for path in pictures if path.stat().st_size > LARGEST
    } == {}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_to_files_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", (CLONE / page).read_text())
    local = [link for link in links if not link.startswith("http")]
    assert local
    assert [link for link in local if not (CLONE / link).exists()] == []
