"""Every setting of `tiramisu predict` changes what it names: a test for each field."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pretended_workers import pretend_workers
from setting_tests import missing_tests
from torch import nn

from tiramisu import commands
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.inference import load as load_module
from tiramisu.inference.config import PredictConfig
from tiramisu.inference.image_results import name_class_mask

Run = Callable[..., Path]


def test_every_field_has_its_test() -> None:
    assert missing_tests(PredictConfig, globals()) == []


@pytest.fixture
def shapes() -> list[tuple[int, ...]]:
    """Shapes of what the network is shown."""
    return []


@pytest.fixture
def run(
    make_model: Callable[..., SegmentationModel],
    shapes: list[tuple[int, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Predicts an image of 200x130 pixels on the command line; returns the folder."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (130, 200, 3), np.uint8)).save(tmp_path / "a.png")
    network = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(3, 3, 3, padding=1))
    network.register_forward_pre_hook(lambda _, args: shapes.append(tuple(args[0].shape[2:])))
    monkeypatch.setattr(load_module, "load_predictor", lambda *_, **__: make_model(network))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Path:
        shapes.clear()
        commands.predict([str(tmp_path / "a.png"), "--checkpoint", "model", *arguments])
        return tmp_path / "predictions"

    return run


@pytest.fixture
def asked(
    run: Run, monkeypatch: pytest.MonkeyPatch, make_model: Callable[..., SegmentationModel]
) -> list[tuple[str, str]]:
    """What models were loaded, for which accelerator."""
    asked: list[tuple[str, str]] = []

    def load(checkpoint: str, *, accelerator: str) -> SegmentationModel:
        asked.append((checkpoint, accelerator))
        return make_model()

    monkeypatch.setattr(load_module, "load_predictor", load)
    return asked


def test_checkpoint(run: Run, asked: list) -> None:
    run()
    assert asked == [("model", "auto")]


def test_accelerator(run: Run, asked: list) -> None:
    run("--accelerator", "cpu")
    assert asked == [("model", "cpu")]


def test_out(run: Run, tmp_path: Path) -> None:
    run("--out", str(tmp_path / "here"))
    assert (tmp_path / "here" / "a_mask.png").is_file()
    assert not (tmp_path / "predictions").exists()


def test_tile(run: Run, shapes: list, monkeypatch: pytest.MonkeyPatch) -> None:
    run("--overwrite")
    assert shapes == [(130, 200)]  # smaller than the usual tiles
    monkeypatch.setattr("tiramisu.inference.tiles.DEFAULT_TILE", 96)
    run("--tile", "auto", "--overwrite")
    assert set(shapes) == {(96, 96)}
    run("--tile", "off", "--overwrite")
    assert shapes == [(130, 200)]
    run("--tile", "96", "--overwrite")
    assert set(shapes) == {(96, 96)}
    assert len(shapes) == 2 * 3


def test_tta(run: Run, shapes: list) -> None:
    run("--tta")
    assert sorted(shapes) == sorted(2 * [(98, 150), (130, 200), (162, 250)])


def test_uncertainty(run: Run, shapes: list) -> None:
    folder = run("--uncertainty")
    assert (folder / "a_entropy.png").is_file()
    assert (folder / "a_mutual_information.png").is_file()
    assert len(shapes) == 20


def test_mc_dropout(run: Run, shapes: list) -> None:
    run("--uncertainty", "--mc-dropout", "3")
    assert len(shapes) == 3


def test_polygons(run: Run) -> None:
    folder = run()
    assert not [*folder.glob("*.geojson"), *folder.glob("annotations.json")]
    run("--polygons", "geojson", "--overwrite")
    assert json.loads((folder / "a.geojson").read_text())["features"]
    run("--polygons", "coco", "--overwrite")
    assert json.loads((folder / "annotations.json").read_text())["annotations"]


def test_probabilities(run: Run) -> None:
    folder = run("--probabilities")
    with np.load(folder / "a_probabilities.npz") as content:
        probabilities, names = content["probabilities"], content["class_names"]
    assert names.tolist() == ["sky", "wall", "road"]
    assert (probabilities.dtype, probabilities.shape) == (np.float16, (3, 130, 200))
    assert probabilities.sum(axis=0) == pytest.approx(1, abs=2e-3)
    mask = np.asarray(Image.open(folder / "a_mask.png"))
    best = probabilities.astype(np.float32)
    assert (best.argmax(axis=0) == mask).mean() > 0.999
    summary = json.loads((folder / "a.json").read_text())
    assert summary["mean_confidence"] == pytest.approx(best.max(axis=0).mean(), abs=1e-3)
    plain = run("--overwrite", "--out", "plain").parent / "plain"
    assert (np.asarray(Image.open(plain / "a_mask.png")) == mask).mean() > 0.999
    assert not list(plain.glob("*.npz"))
    with pytest.raises(ValueError, match="--probabilities and --uncertainty"):
        run("--probabilities", "--uncertainty", "--overwrite")


def test_class_masks(run: Run) -> None:
    folder = run("--class-masks", "[wall,road]")
    mask = np.asarray(Image.open(folder / "a_mask.png"))
    for index, name in enumerate(("sky", "wall", "road")):
        path = folder / f"a_only_{name}.png"
        assert path.exists() == (name != "sky")
        if path.exists():
            assert (np.asarray(Image.open(path).convert("L")) == 255 * (mask == index)).all()
    assert len({name_class_mask(name) for name in ("道路", "天空", "a b", "a/b/c")}) == 4
    with pytest.raises(ValueError, match=r"--class-masks: there is no class wal; .*mean wall"):
        run("--class-masks", "[wal]", "--overwrite")


def test_recursive(run: Run, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for place in ("a.png", "x/a.png", "x/y/b.png", "x/y/b.jpg", ".hidden/c.png", "x/._a.png"):
        (photos / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(photos / place)

    def predict(*flags: str) -> list[str]:
        out = photos / "results"
        argv = [str(photos), "--checkpoint", "m", "--out", str(out), "--overwrite", *flags]
        commands.predict(argv)
        return sorted(str(p.relative_to(out)) for p in out.rglob("*.json"))

    assert predict() == ["a.json"]
    expected = ["a.json", "x/a.json", "x/y/y_b_jpg.json", "x/y/y_b_png.json"]
    assert predict("--recursive") == expected
    assert predict("--recursive") == expected  # results are no inputs


def test_resume(run: Run, tmp_path: Path, shapes: list) -> None:
    (tmp_path / "mine").mkdir()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "b.png")
    folder = run()
    before = (folder / "a.json").read_text()
    both = [str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--checkpoint", "model", "--resume"]
    for _ in range(2):
        shapes.clear()
        commands.predict(both)
        assert shapes == [(40, 40)]
        assert (folder / "a.json").read_text() == before
        (folder / "b.json").unlink()  # as if it was stopped before b was complete
    commands.predict(both)
    with pytest.raises(ValueError, match="already holds results"):
        commands.predict([*both, "--tta"])  # that is another prediction
    (folder / "shares.csv").unlink()
    commands.predict(both)
    lines = (folder / "shares.csv").read_text().splitlines()
    assert lines[0] == "input,width,height,mean_confidence,sky,wall,road"
    assert [Path(line.split(",")[0]).name for line in lines[1:]] == ["a.png", "b.png"]
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "mine" / "b.png")
    with pytest.raises(ValueError, match=r"another model or other settings: b_mask\.png"):
        commands.predict([str(tmp_path / "mine" / "b.png"), "--checkpoint", "m", "--resume"])
    for other, message in (("--overwrite", "give one"), ("--polygons=coco", "one file")):
        with pytest.raises(ValueError, match=f"--resume .*{message}"):
            run("--resume", other)


def test_overwrite(run: Run) -> None:
    run()
    with pytest.raises(ValueError, match="--overwrite"):
        run()
    run("--overwrite")


def picture_of(out: Path) -> np.ndarray:
    return np.asarray(Image.open(out / "a_overlay.png"))[:130, :200].astype(int)


def test_opacity(run: Run, tmp_path: Path) -> None:
    image = np.asarray(Image.open(tmp_path / "a.png")).astype(int)
    assert (picture_of(run("--opacity", "0")) == image).all()
    out = run("--opacity", "1", "--overwrite")
    mask = np.asarray(Image.open(out / "a_mask.png").convert("RGB"))
    assert (picture_of(out) == mask).all()
    half = picture_of(run("--overwrite"))
    assert np.abs(2 * half - mask - image).max() <= 1


def test_unpainted(run: Run, tmp_path: Path) -> None:
    image = np.asarray(Image.open(tmp_path / "a.png"))
    out = run("--unpainted", "[wall,road]", "--opacity", "1")
    mask = np.asarray(Image.open(out / "a_mask.png"))
    assert set(np.unique(mask)) == {0, 1, 2}
    assert (picture_of(out)[mask > 0] == image[mask > 0]).all()
    assert (picture_of(out)[mask == 0] == 128).all()
    painted = picture_of(run("--unpainted", "[]", "--opacity", "1", "--overwrite"))
    colors = np.asarray(Image.open(out / "a_mask.png").convert("RGB"))
    assert (painted == colors).all()
    with pytest.raises(ValueError, match=r"no class wal; .*sky, wall, road; did you mean wall"):
        run("--unpainted", "[wal]", "--overwrite")


def test_show_bands(run: Run) -> None:
    usual = np.asarray(Image.open(run() / "a_overlay.png")).astype(int)
    out = run("--show-bands", "[3,2,1]", "--overwrite")
    swapped = np.asarray(Image.open(out / "a_overlay.png")).astype(int)
    mask = np.asarray(Image.open(out / "a_mask.png").convert("RGB")).astype(int)
    seen, turned = (2 * picture[:130, :200] - mask for picture in (usual, swapped))
    assert np.abs(seen - turned[..., ::-1]).max() <= 2


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command line with an image and a shipped model."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save("a.png")
    return ["a.png", "--checkpoint", "fc56_camvid_half"]


def test_workers(photo: list[str], monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    workers = pretend_workers(monkeypatch)
    commands.predict([*photo, "--workers", "3"])
    assert workers.asked == {"number": 3, "scheduler": None}
    assert workers.chunks == [1]
    assert "1 file predicted" in capsys.readouterr().out
    assert Path("predictions/a_mask.png").is_file()


def test_scheduler(photo: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    workers = pretend_workers(monkeypatch)
    commands.predict([*photo, "--scheduler", "tcp://a:1"])
    assert workers.asked == {"number": None, "scheduler": "tcp://a:1"}
    assert workers.chunks == [1]
    with pytest.raises(ValueError, match="--workers starts processes here, --scheduler joins"):
        commands.predict([*photo, "--scheduler", "tcp://a:1", "--workers", "2"])


def test_retry_failed(photo: list[str], tmp_path: Path, capsys) -> None:
    whole = Path("a.png").read_bytes()
    Path("a.png").write_bytes(whole[:30])
    Path("list.txt").write_text("a.png\n")
    argv = ["list.txt", *photo[1:]]
    for content in (whole[:30], whole):
        Path("a.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"1 of 1 files failed.*a\.png.*--retry-failed"):
            commands.predict(argv)
    commands.predict([*argv, "--retry-failed"])
    assert Path("predictions/a_mask.png").is_file()
