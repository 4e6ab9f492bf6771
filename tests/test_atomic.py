from pathlib import Path

import pytest

from tiramisu.atomic import write_then_rename


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
