import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import hostile_images
import numpy as np
import pytest
import torch
from torch import nn

from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.data.readers.image_file import LIMIT_VARIABLE
from tiramisu.inference.config import PredictConfig
from tiramisu.inference.files import predict_files
from tiramisu.inference.video import predict_video


def write_video(path: Path, *, codec: str) -> None:
    """Frame after frame, one more tenth of the picture is blue (class 2) instead of red."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 12.5, (160, 64))
    if not writer.isOpened():
        pytest.skip(f"this OpenCV cannot write {codec}")
    for number in range(5):
        frame = np.zeros((64, 160, 3), np.uint8)
        frame[..., 2] = 255
        frame[:, : 16 * number] = (255, 0, 0)
        writer.write(frame)
    writer.release()


def read_frames(path: Path) -> tuple[list[np.ndarray], float]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1][..., ::-1])
    return frames, capture.get(cv2.CAP_PROP_FPS)


@pytest.mark.parametrize(("codec", "name"), [("mp4v", "a.mp4"), ("MJPG", "a.avi")])
def test_video_round_trip(
    channel_model: SegmentationModel, tmp_path: Path, codec: str, name: str
) -> None:
    write_video(tmp_path / name, codec=codec)
    out = tmp_path / "out"
    config = PredictConfig(checkpoint="x", out=str(out))
    written = predict_files(channel_model, [tmp_path / name], config=config)
    assert [path.name for path in written] == ["a_overlay.mp4", "a.json", "shares.csv"]
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "a_overlay.mp4", "shares.csv"]

    frames, rate = read_frames(out / "a_overlay.mp4")
    assert len(frames) == 5
    assert rate == pytest.approx(12.5)
    assert frames[0].shape[0] > 64  # the legend below
    # Half of class sky's gray over red, and half of class road's blue over blue.
    assert np.abs(frames[4][20, 150].astype(int) - (191, 64, 64)).max() < 25
    assert np.abs(frames[4][20, 20].astype(int) - (0, 0, 223)).max() < 25

    described = json.loads((out / "a.json").read_text())
    assert described["frames"] == 5
    assert (described["width"], described["height"]) == (160, 64)
    assert described["shares"]["road"] == pytest.approx(0.2, abs=0.02)
    assert described["shares"]["sky"] == pytest.approx(0.8, abs=0.02)


def test_frames_are_painted_as_asked(channel_model: SegmentationModel, tmp_path: Path) -> None:
    write_video(tmp_path / "a.avi", codec="MJPG")
    how = {"opacity": 0.2, "unpainted": ["sky"]}
    config = PredictConfig(checkpoint="x", out=str(tmp_path / "out"), **how)
    predict_files(channel_model, [tmp_path / "a.avi"], config=config)
    frame = read_frames(tmp_path / "out/a_overlay.mp4")[0][4].astype(int)
    assert np.abs(frame[20, 150] - (255, 0, 0)).max() < 25
    assert np.abs(frame[20, 20] - (0, 0, 242)).max() < 25


class Recorder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Conv2d(3, 3, 1)
        self.sizes: set[tuple[int, int]] = set()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.sizes.add((images.shape[2], images.shape[3]))
        return self.network(images)


def test_an_odd_size_is_made_even_and_frames_take_the_options(
    make_model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.avi").write_bytes(b"RIFF    AVI ")  # OpenCV cannot write odd sizes
    frame = np.zeros((65, 161, 3), np.uint8)
    monkeypatch.setattr("tiramisu.inference.video_file._frames", lambda _: iter([frame] * 5))
    network = Recorder()
    config = PredictConfig(checkpoint="x", out=str(tmp_path / "out"), tile=64, tta=True)
    predict_files(make_model(network), [tmp_path / "a.avi"], config=config)
    frames, _ = read_frames(tmp_path / "out/a_overlay.mp4")
    assert len(frames) == 5
    assert frames[0].shape[1] == 162
    assert frames[0].shape[0] % 2 == 0
    assert network.sizes == {(64, 64), (49, 64)}  # in tiles, at scales 1, 1.25 and 0.75


def test_damaged_video_leaves_nothing_behind(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    config = PredictConfig(checkpoint="x", out=str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"a\.mp4 is damaged"):
        predict_files(channel_model, [tmp_path / "a.mp4"], config=config)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, torch.OutOfMemoryError, RuntimeError])
def test_a_video_that_breaks_off_leaves_nothing_behind(
    make_model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    (tmp_path / "a.avi").write_bytes(b"RIFF    AVI ")
    frames = [np.zeros((64, 96, 3), np.uint8)] * 3
    monkeypatch.setattr("tiramisu.inference.video_file._frames", lambda _: iter(frames))
    written: list[bool] = []

    class BreaksOff(nn.Conv2d):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            written.append(bool(list((tmp_path / "out").iterdir())))
            if len(written) == 3:
                raise error
            return super().forward(images)

    config = PredictConfig(checkpoint="x", out=str(tmp_path / "out"))
    with pytest.raises((error, ValueError)):
        predict_files(make_model(BreaksOff(3, 3, 1)), [tmp_path / "a.avi"], config=config)
    assert written[-1]  # the frames before are in a file
    assert not list((tmp_path / "out").iterdir())


def test_a_video_that_could_not_be_written_whole_is_refused(
    make_model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: OpenCV's writer says nothing."""

    writer_class = cv2.VideoWriter
    written: list[bool] = []

    class FullDisk:
        def __init__(self) -> None:
            self.writer = writer_class()

        def __getattr__(self, name: str) -> object:
            return getattr(self.writer, name)

        def write(self, frame: np.ndarray) -> None:
            written.append(True)
            if len(written) <= 3:
                self.writer.write(frame)

    (tmp_path / "a.avi").write_bytes(b"RIFF    AVI ")
    frames = [np.zeros((64, 96, 3), np.uint8)] * 5
    monkeypatch.setattr("tiramisu.inference.video_file._frames", lambda _: iter(frames))
    FullDisk.fourcc = staticmethod(writer_class.fourcc)  # type: ignore[attr-defined]
    monkeypatch.setattr("tiramisu.inference.video.cv2.VideoWriter", FullDisk)
    config = PredictConfig(checkpoint="x", out=str(tmp_path / "out"))
    with pytest.raises(ValueError, match="only 3 of 5 frames could be read back"):
        predict_files(make_model(nn.Conv2d(3, 3, 1)), [tmp_path / "a.avi"], config=config)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "head",
    ["ffconcat version 1.0\n#\0\nfile ", "#EXTM3U\n#\0\n", "ffconcat version 1.0\nfile ", ""],
)
def test_a_playlist_is_no_video(
    channel_model: SegmentationModel, tmp_path: Path, head: str
) -> None:
    write_video(tmp_path / "other.avi", codec="MJPG")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.mp4").write_text(f"{head}{tmp_path}/other.avi\n")
    config = PredictConfig(checkpoint="x", out=str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"a\.mp4 is damaged or is no video"):
        predict_files(channel_model, [tmp_path / "in/a.mp4"], config=config)
    assert not list((tmp_path / "out").iterdir())


BAD_VIDEOS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "text": lambda _: b"hello\n" * 100,
    "zeros": lambda _: bytes(3000),
    "image": lambda _: hostile_images.JPEG,
    "half": lambda video: video[: len(video) // 2],
    "header": lambda video: video[:100],
    "noise": lambda video: video[:12] + np.random.default_rng(0).bytes(3000),
}


@pytest.mark.parametrize("suffix", ["mp4", "avi"])
@pytest.mark.parametrize("change", BAD_VIDEOS)
def test_a_bad_video_does_not_stop_the_others(
    channel_model: SegmentationModel, tmp_path: Path, change: str, suffix: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_video(folder / f"good.{suffix}", codec="mp4v" if suffix == "mp4" else "MJPG")
    (folder / "good.png").write_bytes(hostile_images.PNG)
    whole = (folder / f"good.{suffix}").read_bytes()
    (folder / f"bad.{suffix}").write_bytes(BAD_VIDEOS[change](whole))
    config = PredictConfig(checkpoint="run", out=str(tmp_path / "out"))
    with pytest.raises(ValueError, match=rf"1 of 3 files failed.*bad\.{suffix} is"):
        predict_files(channel_model, [folder], config=config)
    assert len(list((tmp_path / "out").glob("*good*.json"))) == 2
    assert not list((tmp_path / "out").glob("bad*"))


@pytest.mark.parametrize("name", ["pipe.png", "device.png", "nothing.png", "circle.png"])
def test_what_is_no_file_is_no_video(
    channel_model: SegmentationModel, tmp_path: Path, name: str
) -> None:
    video = tmp_path / "a.mp4"
    hostile_images.NO_FILES[name](video)
    config = PredictConfig(checkpoint="run", out=str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"1 of 1 files failed.*a\.mp4"):
        predict_files(channel_model, [video], config=config)


def test_frames_that_would_not_fit_in_memory_are_refused(
    channel_model: SegmentationModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = cv2.VideoWriter(
        str(tmp_path / "a.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (1600, 1200)
    )
    writer.write(np.zeros((1200, 1600, 3), np.uint8))
    writer.release()
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    config = PredictConfig(checkpoint="run", out=str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"a\.mp4 declares 1200 x 1600 pixels .* at most 1 are"):
        predict_files(channel_model, [tmp_path / "a.mp4"], config=config)


@pytest.mark.parametrize("name", [*hostile_images.ODD_NAMES], ids=ascii)
def test_videos_of_any_name_are_predicted(
    channel_model: SegmentationModel, tmp_path: Path, name: str
) -> None:
    """OpenCV ends the process if a path is not UTF-8."""
    write_video(tmp_path / "a.mp4", codec="mp4v")
    (tmp_path / "in").mkdir()
    (tmp_path / "a.mp4").rename((tmp_path / "in" / name).with_suffix(".mp4"))
    config = PredictConfig(checkpoint="run", out=str(tmp_path / "out"))
    video, described, _ = predict_files(channel_model, [tmp_path / "in"], config=config)
    assert len(read_frames(video)[0]) == 5
    assert json.loads(described.read_text())["frames"] == 5


def test_a_video_needs_a_folder_in_utf_8(channel_model: SegmentationModel, tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", codec="mp4v")
    out = tmp_path / os.fsdecode(b"\xff")
    out.mkdir()
    with pytest.raises(ValueError, match="writes videos only where the path is UTF-8"):
        predict_video(channel_model, tmp_path / "a.mp4", out=out / "a.mp4")
    assert not list(out.iterdir())


def test_a_name_is_no_pattern_for_other_files(
    channel_model: SegmentationModel, tmp_path: Path
) -> None:
    """OpenCV would show f000.mp4 in place of f%03d.mp4."""
    (tmp_path / "f000.mp4").write_bytes(hostile_images.PNG)
    (tmp_path / "f%03d.mp4").write_bytes(b"\0\0\0\x1cftypisom")
    config = PredictConfig(checkpoint="run", out=str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"f%03d\.mp4 is damaged"):
        predict_files(channel_model, [tmp_path / "f%03d.mp4"], config=config)
