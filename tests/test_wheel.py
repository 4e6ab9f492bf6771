"""What `pip install tiramisu-seg` gives: a wheel, built from the sdist and used on its own."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import cv2
import pytest

from tiramisu import draw_scene, list_weights

CLONE = Path(__file__).parents[1]
# What a clone holds. A copy of it is built, so that the clone stays as it is.
FILES = (
    "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff",
    "CONTRIBUTING.md", "SECURITY.md", "hubconf.py", "mkdocs.yml",
)  # fmt: skip
FOLDERS = ("tiramisu", "datasets", "configs", "tests", "tools", "docs", "examples")
BUILD_SDIST = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"


def run(*command: str | Path, cwd: Path) -> str:
    # Python finds the new environment by its own path alone: PYTHONPATH could show it the clone.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} left with {done.returncode}:\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    for tool in ("pip", "setuptools"):
        if importlib.util.find_spec(tool) is None:
            pytest.skip(f"building needs {tool}, which this environment does not have")
    setuptools = importlib.metadata.version("setuptools")
    if int(setuptools.split(".")[0]) < 77:
        pytest.skip(f"building needs setuptools 77 or later, here is {setuptools}")

    folder = tmp_path_factory.mktemp("sdist")
    clone = folder / "clone"
    clone.mkdir()
    for name in FILES:
        shutil.copy(CLONE / name, clone)
    for name in FOLDERS:
        ignore = shutil.ignore_patterns("*.pyc", "__pycache__")
        shutil.copytree(CLONE / name, clone / name, ignore=ignore)
    run(sys.executable, "-c", BUILD_SDIST, folder, cwd=clone)
    (archive,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(archive, folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return unpacked


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip builds from the source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", "wheel", sdist, *options, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment that holds the wheel and borrows everything else from this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=os.name != "nt")
    variables = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", scheme="venv", vars=variables))
    # Python does not read the .pth files of a folder that a .pth file added: the editable install
    # of the clone, which lives in one, stays behind.
    borrowed = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    (packages / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
    options = ("--no-deps", "--no-index", "--ignore-installed")
    pip = (sys.executable, "-m", "pip", "--python", scripts(folder) / "python")
    run(*pip, "install", *options, wheel, cwd=folder)
    return folder


def scripts(environment: Path) -> Path:
    return environment / ("Scripts" if os.name == "nt" else "bin")


def test_the_sdist_holds_what_the_clone_holds(sdist: Path) -> None:
    made = {"PKG-INFO", "setup.cfg", "tiramisu_seg.egg-info"}  # by setuptools
    assert {path.name for path in sdist.iterdir()} == {*FILES, *FOLDERS, *made}
    for folder in FOLDERS:
        expected = {
            path.relative_to(CLONE)
            for path in (CLONE / folder).rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }
        held = {path.relative_to(sdist) for path in (sdist / folder).rglob("*") if path.is_file()}
        assert held == expected


def test_the_tests_of_the_sdist_find_all_that_they_import(sdist: Path) -> None:
    collect = ("-m", "pytest", "--collect-only", "-p", "no:cacheprovider")
    assert "tests/test_wheel.py" in run(sys.executable, "-B", *collect, cwd=sdist)


def test_holds_the_package_its_tables_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    assert {name.split("/")[0] for name in names} == {"tiramisu", info}
    assert f"{info}/licenses/LICENSE" in names
    assert "tiramisu/py.typed" in names
    modules = {str(path.relative_to(CLONE)) for path in (CLONE / "tiramisu").rglob("*.py*")}
    modules = {name for name in modules if not name.endswith(".pyc")}
    tables = {
        f"tiramisu/{path.relative_to(CLONE)}"
        for folder in ("datasets", "configs")
        for path in (CLONE / folder).iterdir()
    }
    assert "tiramisu/datasets/camvid.sha256" in tables
    weights = {
        f"tiramisu/{path.relative_to(CLONE / 'tiramisu')}"
        for path in (CLONE / "tiramisu" / "weights").glob("*/*")
    }
    templates = {
        f"tiramisu/{path.relative_to(CLONE / 'tiramisu')}"
        for path in (CLONE / "tiramisu" / "visual" / "templates").iterdir()
    }
    shipped = {name for name in names if name.startswith("tiramisu/")}
    others = {"tiramisu/py.typed", "tiramisu/checkpoints/card_template.md"}
    assert shipped == modules | tables | weights | templates | others


def test_the_new_environment_uses_the_wheel(environment: Path, tmp_path: Path) -> None:
    where = "import tiramisu, torch; print(tiramisu.__file__, torch.__file__, sep='\\n')"
    package, torch = run(scripts(environment) / "python", "-c", where, cwd=tmp_path).splitlines()
    assert Path(package).is_relative_to(environment)
    assert not Path(torch).is_relative_to(environment)


def test_version_and_summary(environment: Path, tmp_path: Path) -> None:
    tiramisu = scripts(environment) / "tiramisu"
    version = importlib.metadata.version("tiramisu-seg")
    for command in ((tiramisu,), (scripts(environment) / "python", "-m", "tiramisu")):
        assert run(*command, "--version", cwd=tmp_path) == f"tiramisu-seg {version}\n"
    assert "1,376,795" in run(tiramisu, "summary", "--arch", "fc56", cwd=tmp_path)


def test_trains_with_the_tables_of_the_wheel(environment: Path, tmp_path: Path) -> None:
    train = (scripts(environment) / "tiramisu", "train", "--arch", "fc56", "--data", "streets")
    short = ("--epochs", "1", "--max-steps", "1", "--batch-size", "1", "--crop", "[64,64]")
    quick = ("--check-data", "false", "--cache", "no", "--accelerator", "cpu", "--out", "run")
    run(*train, *short, *quick, cwd=tmp_path)
    made = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.yaml", "model.safetensors", "model.json", "samples.png"} <= made
    # From configs/streets_fc56.yaml, which only the wheel can have shown to this process.
    assert "schedule: onecycle" in (tmp_path / "run" / "config.yaml").read_text()


def test_predicts_with_the_weights_of_the_wheel(environment: Path, tmp_path: Path) -> None:
    (name, *_) = list_weights()
    cv2.imwrite(str(tmp_path / "photo.png"), draw_scene(3, height=96, width=128)[0])
    predict = (scripts(environment) / "tiramisu", "predict", "photo.png", "--checkpoint", name)
    assert "written to out" in run(*predict, "--out", "out", cwd=tmp_path)
    assert (tmp_path / "out" / "photo_mask.png").is_file()
