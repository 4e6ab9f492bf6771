from pathlib import Path

import pytest

from tiramisu import shipped
from tiramisu.shipped import find_shipped, list_shipped


def test_a_name_finds_the_shipped_file():
    path = find_shipped("datasets", "camvid")
    assert path.is_file()
    assert path.name == "camvid.yaml"
    assert find_shipped("datasets", "camvid.yaml") == path
    assert "camvid" in list_shipped("datasets")


def test_an_existing_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mine = tmp_path / "camvid.yaml"
    mine.write_text("name: mine\n")
    assert find_shipped("datasets", str(mine)) == mine
    monkeypatch.chdir(tmp_path)
    assert find_shipped("datasets", "camvid.yaml") == Path("camvid.yaml")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        ValueError, match=r"there is no file camvd, .*cityscapes.*; did you mean camvid\?"
    ):
        find_shipped("datasets", "camvd")


def test_the_folder_inside_the_package_comes_before_the_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package = tmp_path / "tiramisu"
    for folder, name in ((tmp_path / "datasets", "clone"), (package / "datasets", "wheel")):
        folder.mkdir(parents=True)
        (folder / f"{name}.yaml").touch()
    monkeypatch.setattr(shipped, "_PACKAGE", package)
    assert list_shipped("datasets") == ["wheel"]
