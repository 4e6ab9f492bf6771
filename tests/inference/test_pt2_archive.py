"""`.pt2` archives that would run code are refused before torch reads them."""

import contextlib
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.export.formats import export_model
from tiramisu.inference.exported import load_exported
from tiramisu.inference.pt2_archive import check_archive

Edit = Callable[[dict[str, bytes], Path], None]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    info = ModelInfo(arch="fc56", class_names=("a", "b"), colors=((0, 0, 0), (9, 9, 9)))
    model = SegmentationModel.build(info).eval()
    return export_model(model, tmp_path_factory.mktemp("pt2") / "model.pt2")


class Mark:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def find(members: dict[str, bytes], ending: str) -> str:
    return next(name for name in members if name.endswith(ending))


def replace_samples(members: dict[str, bytes], mark: Path) -> None:
    members[find(members, "sample_inputs/model.pt")] = pickle.dumps(({}, Mark(mark)))


def pickle_a_weight(members: dict[str, bytes], mark: Path) -> None:
    name = find(members, "model_weights_config.json")
    table = json.loads(members[name])
    entry = next(iter(table["config"].values()))
    entry["use_pickle"] = True
    members[name] = json.dumps(table).encode()
    members[find(members, f"weights/{entry['path_name']}")] = pickle.dumps(Mark(mark))


def add_an_object(members: dict[str, bytes], mark: Path) -> None:
    name = find(members, "model_constants_config.json")
    table = json.loads(members[name])
    entry = next(iter(table["config"].values()))
    folder = name.rpartition("/")[0]
    table["config"]["object"] = {**entry, "path_name": "opaque_obj_0"}
    members[name] = json.dumps(table).encode()
    members[f"{folder}/opaque_obj_0"] = pickle.dumps(Mark(mark))


def edit_graph(change: Callable[[str], str]) -> Edit:
    def edit(members: dict[str, bytes], _mark: Path) -> None:
        name = find(members, "models/model.json")
        members[name] = change(members[name].decode()).encode()

    return edit


CODE = "__import__('pathlib').Path('{mark}').touch()"
ATTACKS: dict[str, Edit] = {
    "sample inputs": replace_samples,
    "pickled weight": pickle_a_weight,
    "object among the constants": add_an_object,
    "code in an expression": lambda members, mark: edit_graph(
        lambda text: text.replace("FloorDiv(", CODE.format(mark=mark) + " or FloorDiv(", 1)
    )(members, mark),
    "attribute in an expression": edit_graph(
        lambda text: text.replace("Integer(2)", "Integer(2).evalf", 1)
    ),
    "unknown function": edit_graph(lambda text: text.replace("FloorDiv(", "eval(", 1)),
    "another operation": edit_graph(
        lambda text: text.replace("torch.ops.aten.relu.default", "torch.hub.load", 1)
    ),
    "operator that gets attributes": edit_graph(
        lambda text: text.replace("_operator.mul", "_operator.attrgetter", 1)
    ),
    "library": lambda members, mark: members.update({"model/data/aotinductor/model.so": b"ELF"}),
    "weights of older versions": lambda members, mark: members.update(
        {"model/data/weights/model.pt": pickle.dumps(Mark(mark))}
    ),
}


def attack(exported: Path, folder: Path, edit: Edit) -> tuple[Path, Path]:
    with zipfile.ZipFile(exported) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    before = dict(members)
    path, mark = folder / "model.pt2", folder / "mark"
    edit(members, mark)
    assert members != before
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path, mark


@pytest.mark.parametrize("name", ATTACKS)
def test_what_could_run_code_is_refused(exported: Path, tmp_path: Path, name: str) -> None:
    path, mark = attack(exported, tmp_path, ATTACKS[name])
    with pytest.raises(ValueError, match=r"model\.pt2 was refused: .* could run code"):
        load_exported(path)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["sample inputs", "pickled weight", "code in an expression"])
def test_torch_itself_would_run_it(exported: Path, tmp_path: Path, name: str) -> None:
    path, mark = attack(exported, tmp_path, ATTACKS[name])
    with contextlib.suppress(Exception):
        torch.export.load(path)
    assert mark.exists()


def test_our_own_files_pass(exported: Path) -> None:
    check_archive(exported)
    assert load_exported(exported).info.class_names == ("a", "b")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04cut"])
def test_a_damaged_archive_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt2").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.pt2 is damaged or is no \.pt2 file"):
        load_exported(tmp_path / "model.pt2")


def test_damaged_bytes_are_found(exported: Path, tmp_path: Path) -> None:
    content = bytearray(exported.read_bytes())
    with zipfile.ZipFile(exported) as archive:
        part = archive.getinfo(find(dict.fromkeys(archive.namelist(), b""), "weights/weight_1"))
    content[part.header_offset + 200] ^= 1
    (tmp_path / "model.pt2").write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged.*checksum of its part .*weight_1"):
        load_exported(tmp_path / "model.pt2")


def test_a_weight_without_its_values_is_found(exported: Path, tmp_path: Path) -> None:
    def cut(members: dict[str, bytes], mark: Path) -> None:
        members[find(members, "weights/weight_0")] = b""

    path, _ = attack(exported, tmp_path, cut)
    with pytest.raises(ValueError, match=r"damaged.*conv0\.weight has 0 bytes; expected 5,184"):
        load_exported(path)


def test_deeply_nested_json_is_no_crash(exported: Path, tmp_path: Path) -> None:
    nested = "[" * 100_000 + "]" * 100_000
    path, _ = attack(exported, tmp_path, edit_graph(lambda _: nested))
    with pytest.raises(ValueError, match="is damaged"):
        load_exported(path)


@pytest.mark.parametrize("twin", ["model.pt", "MODEL.PT"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_part_that_is_there_twice_is_refused(exported: Path, tmp_path: Path, twin: str) -> None:
    """Two readers could read different ones."""
    path, mark = tmp_path / "model.pt2", tmp_path / "mark"
    path.write_bytes(exported.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        folder = find(dict.fromkeys(archive.namelist(), b""), "sample_inputs/model.pt")[:-8]
        archive.writestr(f"{folder}{twin}", pickle.dumps(({}, Mark(mark))))
    with pytest.raises(ValueError, match="was refused: a part twice"):
        load_exported(path)
    assert not mark.exists()
