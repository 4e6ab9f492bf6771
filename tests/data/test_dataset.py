import pickle
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_data import random_label

from tiramisu.data import dataset as dataset_module
from tiramisu.data import loader as loader_module
from tiramisu.data.catalog import load_spec
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.loader import EpochSampler, make_loader
from tiramisu.data.sample import SampleKey
from tiramisu.data.transforms import TrainTransform
from tiramisu.streets import draw_scene

TRANSFORM = TrainTransform(crop=(8, 8), scale=(0.7, 1.5), flip=True, color=0.5)


def make(tiny: Path, split: str = "train", **kwargs) -> ImageDataset:
    return ImageDataset(load_spec(str(tiny)), split, root=None, **kwargs)


def test_read_gives_the_files(tiny: Path):
    dataset = make(tiny)
    assert dataset.names == ["0", "1", "2", "3", "4"]
    image, label = dataset.read(3)
    assert np.array_equal(image, np.asarray(Image.open(tiny.parent / "files/train/3.png")))
    assert np.array_equal(label, random_label(3))


def test_a_sample(tiny: Path):
    dataset = make(tiny)
    sample = dataset[3]
    assert sample["image"].dtype == torch.uint8
    assert sample["label"].dtype == torch.uint8
    assert np.array_equal(sample["image"].permute(1, 2, 0), dataset.read(3)[0])
    assert np.array_equal(sample["label"], random_label(3))
    assert sample["index"] == 3


def test_a_dataset_is_a_sequence(tiny: Path):
    dataset = make(tiny)
    assert [sample["index"] for sample in dataset] == [0, 1, 2, 3, 4]
    assert dataset[-1]["index"] == 4
    assert torch.equal(dataset[-5]["image"], dataset[0]["image"])
    for index in (5, -6):
        with pytest.raises(IndexError, match=f"tiny train has 5 samples, no {index}"):
            dataset[index]


def test_random_changes_stay_the_same_over_versions(tiny: Path):
    """The transform of epoch 3 and index 2 gets the seed that (seed, epoch, index) give."""
    seen = []

    def transform(
        image: np.ndarray, label: np.ndarray, *, seed: int, epoch: int, focus: int | None
    ):
        seen.append((seed, epoch, focus))
        return image, label

    make(tiny, transform=transform, seed=7)[SampleKey(2, epoch=3, focus=1)]
    expected = np.random.SeedSequence((7, 3, 2)).generate_state(1, np.uint64)[0]
    assert seen == [(int(expected), 3, 1)]


def test_a_loader_may_take_some_samples_only(tiny: Path):
    loader = make_loader(
        make(tiny), batch_size=2, shuffle=False, num_workers=0, seed=0, indices=[0, 2, 4]
    )
    assert [batch["index"].tolist() for batch in loader] == [[0, 2], [4]]


def test_padding_is_void(tiny: Path):
    sample = make(tiny)[SampleKey(0, padding=True)]
    assert sample["image"].shape == (3, 12, 16)
    assert (sample["label"] == 255).all()
    assert sample["index"] == -1


def test_image_scale(tiny: Path):
    both, image_only = (
        make(tiny, image_scale=0.5)[0],
        make(tiny, image_scale=0.5, scale_labels=False)[0],
    )
    assert both["image"].shape == (3, 6, 8)
    assert both["label"].shape == (6, 8)
    assert set(both["label"].unique().tolist()) <= {0, 1, 2, 255}  # no value is interpolated
    assert torch.equal(both["image"], image_only["image"])
    assert image_only["label"].shape == (12, 16)
    with pytest.raises(ValueError, match="image_scale is 2"):
        make(tiny, image_scale=2)


def test_image_size(tiny: Path):
    spec = load_spec(str(tiny))
    original = ImageDataset(spec, "val", root=None).read(0)
    for scale_labels in (True, False):
        dataset = ImageDataset(
            spec, "val", root=None, image_size=(20, 10), scale_labels=scale_labels, cache=True
        )
        for _ in range(2):
            assert dataset[0]["image"].shape == (3, 20, 10)
            expected = (20, 10) if scale_labels else original[1].shape
            assert dataset[0]["label"].shape == expected
            assert (dataset.read(0)[0] == original[0]).all()
            dataset.preload()


def test_samples_do_not_depend_on_workers(tiny: Path):
    """Two epochs with 0 and with 2 persistent workers, whatever ran before."""
    epochs = []
    for num_workers in (0, 2):
        torch.manual_seed(num_workers)
        loader = make_loader(
            make(tiny, transform=TRANSFORM, seed=3),
            batch_size=2,
            shuffle=True,
            num_workers=num_workers,
            seed=3,
        )
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            epochs.append(list(loader))
    for ours, theirs in zip(epochs[:2], epochs[2:], strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert all(torch.equal(a[key], b[key]) for key in ("image", "label", "index"))
    first, second = (torch.cat([batch["index"] for batch in epoch]) for epoch in epochs[:2])
    assert sorted(first.tolist()) == sorted(second.tolist()) == [0, 1, 2, 3, 4]
    assert not torch.equal(first, second)


def test_a_pickled_dataset_gives_the_same_samples(tiny: Path):
    """As spawned workers get it."""
    dataset = make(tiny, transform=TRANSFORM)
    copy = pickle.loads(pickle.dumps(dataset))
    assert all(
        torch.equal(dataset[SampleKey(i, 2)]["image"], copy[SampleKey(i, 2)]["image"])
        for i in range(5)
    )


def test_samples_depend_on_seed_epoch_and_index(tiny: Path):
    dataset = make(tiny, transform=TRANSFORM)
    other = make(tiny, transform=TRANSFORM, seed=1)
    again = dataset[2]["image"]
    assert torch.equal(dataset[2]["image"], again)
    assert not torch.equal(dataset[SampleKey(2, epoch=1)]["image"], again)
    assert not torch.equal(other[2]["image"], again)


def test_loading_leaves_the_global_random_numbers_alone(tiny: Path):
    loader = make_loader(
        make(tiny, transform=TRANSFORM), batch_size=2, shuffle=True, num_workers=0, seed=0
    )
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (the global state is what is tested)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    list(loader)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


@pytest.mark.parametrize(("length", "world_size"), [(7, 3), (6, 3), (2, 3), (5, 1)])
def test_processes_share_an_epoch_without_shuffle(length: int, world_size: int):
    shares = [
        list(EpochSampler(range(length), shuffle=False, seed=0, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    assert len({len(share) for share in shares}) == 1
    keys = [key for share in shares for key in share]
    assert sorted(key.index for key in keys if not key.padding) == list(range(length))


def test_processes_share_an_epoch_with_shuffle():
    seen = set()
    for epoch in range(8):
        keys = []
        for rank in range(3):
            sampler = EpochSampler(range(7), shuffle=True, seed=0, rank=rank, world_size=3)
            sampler.set_epoch(epoch)
            share = list(sampler)
            assert len(share) == len(sampler) == 2
            keys += share
        assert len({*keys}) == 6
        assert {key.epoch for key in keys} == {epoch}
        assert not any(key.padding for key in keys)
        seen |= {key.index for key in keys}
    assert seen == set(range(7))  # nobody is left out in every epoch
    with pytest.raises(ValueError, match="2 samples cannot be shared by 3 processes"):
        EpochSampler(range(2), shuffle=True, seed=0, world_size=3)


def test_cache(tiny: Path, monkeypatch: pytest.MonkeyPatch):
    cached, uncached = make(tiny, cache="auto"), make(tiny, cache=False)
    expected = uncached.read(2)
    for dataset in (cached, uncached):
        dataset.preload()
    for path in (tiny.parent / "files").rglob("2.png"):
        path.unlink()
    assert all(np.array_equal(a, b) for a, b in zip(cached.read(2), expected, strict=True))
    with pytest.raises(FileNotFoundError, match=r"2\.png"):
        uncached.read(2)
    with pytest.raises(FileNotFoundError, match=r"2\.png"):  # a spawned worker gets no copy
        pickle.loads(pickle.dumps(cached)).read(2)


@pytest.mark.parametrize(("cache", "kept"), [("auto", False), (True, True)])
def test_auto_cache_stays_within_the_memory(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, cache: bool, kept: bool
):
    size = 5 * 12 * 16 * 4  # bytes of the split
    monkeypatch.setattr(dataset_module, "free_memory", lambda: 4 * size)
    dataset = make(tiny, cache=cache)
    dataset.preload()
    assert bool(dataset._cached) == kept


@pytest.mark.parametrize("scale_labels", [False, True])
def test_samples_do_not_depend_on_the_cache(tiny: Path, scale_labels: bool):
    options = {"transform": TRANSFORM if scale_labels else None, "scale_labels": scale_labels}
    cached, uncached = (
        make(tiny, cache=cache, image_scale=0.5, **options) for cache in (True, False)
    )
    cached.preload()
    for key in [SampleKey(index, epoch) for epoch in range(2) for index in range(len(cached))]:
        for name in ("image", "label"):
            assert torch.equal(cached[key][name], uncached[key][name])
    # The cache holds small images; what `read` gives is not changed.
    assert cached._cached[0][0].shape == (6, 8, 3)
    assert all(np.array_equal(*pair) for pair in zip(cached.read(0), uncached.read(0), strict=True))


def test_a_sample_is_a_copy(tiny: Path):
    dataset = make(tiny, cache=True)
    dataset.preload()
    before = dataset.read(0)[0].copy(), dataset.read(0)[1].copy()
    sample = dataset[0]
    sample["image"].zero_()
    sample["label"].zero_()
    assert all(np.array_equal(*pair) for pair in zip(dataset.read(0), before, strict=True))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_broken_file_gives_one_short_message(tiny: Path, num_workers: int):
    path = tiny.parent / "files/train/1.png"
    path.write_bytes(b"not an image")
    loader = make_loader(
        make(tiny, cache=False), batch_size=5, shuffle=False, num_workers=num_workers, seed=0
    )
    with pytest.raises(ValueError, match="is damaged") as caught:
        list(loader)
    assert str(caught.value) == (
        f"{path} is damaged or is no image; expected a file such as PNG, JPEG, TIFF or .npy"
    )


def test_different_sizes_in_a_batch_get_a_fix(tiny: Path):
    for path in (tiny.parent / "files").rglob("1.png"):
        Image.open(path).crop((0, 0, 10, 12)).save(path)
    dataset = make(tiny)

    def load(batch_size: int) -> list:
        return list(
            make_loader(dataset, batch_size=batch_size, shuffle=False, num_workers=0, seed=0)
        )

    assert len(load(1)) == 5
    with pytest.raises(ValueError, match=r"images of different sizes.*crop.*batch size 1"):
        load(5)


def test_a_mask_of_another_size_is_refused(tiny: Path):
    path = tiny.parent / "files/trainannot/1.png"
    Image.open(path).crop((0, 0, 10, 12)).save(path)
    with pytest.raises(ValueError, match=r"is 12 x 16 pixels .* 12 x 10; they must be the same"):
        make(tiny).read(1)


def test_missing_files_are_named(tiny: Path, edit: Callable[[str, str], Path]):
    (tiny.parent / "files/trainannot/1.png").unlink()
    with pytest.raises(ValueError, match=r"train has images without a mask \(1, .*1\.png"):
        make(tiny)
    edit('images: "val/*.png"', 'images: "eval/*.png"')
    for path in (tiny.parent / "files/valannot").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"val is empty: no file matches eval/\*\.png"):
        make(tiny, "val")


def test_workers_use_one_thread_each(tiny: Path):
    before = cv2.getNumThreads()
    try:
        loader_module._init_worker(0)
        assert cv2.getNumThreads() <= 1
    finally:
        cv2.setNumThreads(before)


def test_streets_are_drawn_from_their_seeds():
    spec = load_spec("streets")
    val = ImageDataset(spec, "val", root=None, cache=False)
    assert len(val) == 40
    image, label = val.read(1)
    split = spec.split("val")
    expected = draw_scene(split.first_seed + 1, height=144, width=192)
    assert np.array_equal(image, expected[0])
    assert np.array_equal(label, expected[1])
    val.cache = True
    val.preload()  # drawn by several processes
    assert all(np.array_equal(*pair) for pair in zip(val.read(1), expected, strict=True))
    names = [set(ImageDataset(spec, s, root=None).names) for s in ("train", "val", "test")]
    assert len(set.union(*names)) == sum(map(len, names))  # no scene is in two splits
