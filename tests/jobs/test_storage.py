from pathlib import Path

import fsspec
import pytest

from tiramisu.jobs import storage as storage_module
from tiramisu.jobs.storage import Store, fetch, find_urls, is_url, open_storage


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    """The URL of a folder in memory."""
    return f"memory://{tmp_path}"


def test_a_url_is_told_from_a_path() -> None:
    assert is_url("s3://a/b.png")
    assert is_url("https://host/a.png")
    assert not is_url("a/b.png")
    assert not is_url(Path("/c:/a.png"))


@pytest.mark.parametrize("kind", ["disk", "memory"])
def test_what_is_written_is_read(kind: str, bucket: str, tmp_path: Path) -> None:
    store = Store(place=bucket if kind == "memory" else str(tmp_path / "deep" / "out"))
    store.prepare()
    assert store.read("a/b.json") is None
    assert store.list_names("a") == []
    store.write("a/b.json", "text")
    store.write("a/c.bin", b"\x00\x01")
    assert store.read("a/b.json") == b"text"
    assert store.list_names("a") == ["b.json", "c.bin"]
    store.remove("a")
    assert store.list_names("a") == []
    store.remove("a")


def test_files_are_copied_there_and_back(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"image")
    Store(place=bucket).put(tmp_path / "a.png", "x/a.png")
    (tmp_path / "copy").mkdir()
    file = fetch(f"{bucket}/x/a.png", tmp_path / "copy")
    assert file.name == "a.png"
    assert file.read_bytes() == b"image"
    with pytest.raises(FileNotFoundError, match=r"there is no memory://.*b\.png"):
        fetch(f"{bucket}/x/b.png", tmp_path / "copy")


def test_images_are_found_in_folders_and_by_patterns(bucket: str) -> None:
    memory = fsspec.filesystem("memory")
    for name in ("b.png", "a.JPG", "x/c.tif", "x/notes.md", "x/film.mp4"):
        memory.pipe_file(f"{bucket}/{name}", b"")
    names = [url.removeprefix(bucket) for url in find_urls(bucket)]
    assert names == ["/a.JPG", "/b.png", "/x/c.tif", "/x/film.mp4"]
    assert [url.removeprefix(bucket) for url in find_urls(f"{bucket}/*.png")] == ["/b.png"]
    assert [url.removeprefix(bucket) for url in find_urls(f"{bucket}/b.png")] == ["/b.png"]
    for nothing in (f"{bucket}/y", f"{bucket}/*.gif", f"{bucket}/x/notes.md"):
        with pytest.raises(FileNotFoundError, match="no images or videos at memory://"):
            find_urls(nothing)


def test_storage_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"there is no storage s4://; expected such as s3://"):
        open_storage("s4://bucket/a.png")

    def fail(protocol: str) -> None:
        raise ImportError("Please install gcsfs\nto access Google Storage")

    monkeypatch.setattr(storage_module.fsspec, "filesystem", fail)
    with pytest.raises(ValueError, match=r"gs:// needs a package: Please install gcsfs to access"):
        open_storage("gs://bucket/a.png")


def test_errors_of_other_libraries_name_the_url(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StrangeError(Exception):
        pass

    def fail(*_: object, **__: object) -> None:
        raise StrangeError("no credentials\nfound")

    monkeypatch.setattr(type(open_storage(bucket)), "cat_file", fail)
    with pytest.raises(OSError, match=r"cannot use memory://.* \(no credentials found\)"):
        Store(place=bucket).read("a")
