from pathlib import Path

import pytest

from tiramisu.inference.inputs import find_inputs


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(*sources: str | Path) -> list[tuple[str, str]]:
    return [(item.path.name, item.name) for item in find_inputs(sources)]


def test_folder_gives_its_own_images_and_videos_sorted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "b.JPG", "a.png", "film.mp4", "notes.txt", "inner/c.png")
    assert found(tmp_path) == [("a.png", "a"), ("b.JPG", "b"), ("film.mp4", "film")]
    assert [item.is_video for item in find_inputs([tmp_path])] == [False, False, True]
    assert "notes.txt" in caplog.text
    assert "inner" in caplog.text
    assert f"'{tmp_path}/**/*' includes sub-folders" in caplog.text
    assert "a.png" not in caplog.text


def test_patterns_reach_into_folders(tmp_path: Path) -> None:
    touch(tmp_path, "one/b.png", "one/a.png", "two/deep/c.png", "two/d.txt")
    assert found(str(tmp_path / "one/*.png")) == [("a.png", "a"), ("b.png", "b")]
    assert [name for name, _ in found(str(tmp_path / "**/*"))] == ["a.png", "b.png", "c.png"]


def test_file_with_the_letters_of_a_pattern_in_its_name(tmp_path: Path) -> None:
    touch(tmp_path, "a[1].png", "a1.png")
    assert found(tmp_path / "a[1].png") == [("a[1].png", "a[1]")]


def test_a_file_named_twice_is_done_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    assert found(tmp_path / "a.png", tmp_path, tmp_path / ".." / tmp_path.name) == [("a.png", "a")]


def test_no_two_inputs_share_a_name(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.png", "x/A.jpg", "y/a.png", "y/b.png", "z/x_a.png", "q/x/a.png")
    files = [tmp_path / name for name in ("x", "y", "z", "q/x")]
    names = {str(item.path.relative_to(tmp_path)): item.name for item in find_inputs(files)}
    assert names["y/b.png"] == "b"
    assert names["y/a.png"] == "y_a"
    assert len({name.casefold() for name in names.values()}) == 6


def test_an_image_and_a_video_of_one_stem_are_told_apart(tmp_path: Path) -> None:
    touch(tmp_path, "d/a.png", "d/a.mp4")
    assert found(tmp_path / "d") == [("a.mp4", "d_a_mp4"), ("a.png", "d_a_png")]


def test_missing_sources_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        find_inputs([tmp_path / "none"])
    with pytest.raises(FileNotFoundError, match="png"):
        find_inputs([str(tmp_path / "*.png")])


def test_nothing_to_predict_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(ValueError, match="no images or videos in"):
        find_inputs([tmp_path])
    with pytest.raises(ValueError, match="no image or video by its ending"):
        find_inputs([tmp_path / "notes.txt"])
    with pytest.raises(ValueError, match="an empty list"):
        find_inputs([])
