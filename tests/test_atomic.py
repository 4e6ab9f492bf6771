import os
from pathlib import Path

import pytest

from tiramisu.atomic import make_folder, remove_leftovers, write_file, write_then_rename


def test_a_file_takes_its_name_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with write_then_rename(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
        assert partial.suffix == ".csv"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_may_be_read_by_whom_the_system_lets(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with write_then_rename(tmp_path / "new") as partial:
        partial.unlink()
        partial.touch(mode=0o600)
    modes = [(tmp_path / name).stat().st_mode for name in ("usual", "new")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def write_half() -> None:
        with write_then_rename(path) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_takes_no_name_that_is_taken(tmp_path: Path) -> None:
    write_file(tmp_path / "config.yaml", "first", new=True)
    with pytest.raises(FileExistsError):
        write_file(tmp_path / "config.yaml", "second", new=True)
    assert (tmp_path / "config.yaml").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_new_file_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", fail)
    test_a_new_file_takes_no_name_that_is_taken(tmp_path)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.json").symlink_to("elsewhere/real.json")
    write_file(tmp_path / "link.json", "new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "elsewhere" / "real.json").read_text() == "new"


def test_the_permissions_of_a_file_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    write_file(path, "new")
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_error_of_what_is_read_is_no_error_of_writing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="source"), write_then_rename(tmp_path / "copy"):
        (tmp_path / "source").read_bytes()
    with pytest.raises(TimeoutError), write_then_rename(tmp_path / "copy"):
        raise TimeoutError("the server is silent")


def test_what_a_kill_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    left = [tmp_path / ".0123.partial.csv", tmp_path / "checkpoints" / ".4567.partial.ckpt"]
    kept = [tmp_path / "a.partial.csv", tmp_path / ".hidden"]
    for path in (*left, *kept):
        path.touch()
    remove_leftovers(tmp_path)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


def test_a_folder_that_cannot_be_made_names_the_flag(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ValueError, match=r"cannot write into the folder .*file/a.*give another --o"
    ):
        make_folder(tmp_path / "file" / "a")
