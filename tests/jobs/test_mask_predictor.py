import io
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tiramisu import MaskPredictor, load_model, predict

CHECKPOINT = "fc56_camvid_half"


def make_images(number: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40, 60, 3), dtype=np.uint8) for _ in range(number)]


def as_file(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def test_arrays_and_files_give_the_masks_of_predict() -> None:
    images = make_images(2)
    masks = MaskPredictor(CHECKPOINT)([images[0], as_file(images[1])])
    model = load_model(CHECKPOINT)
    for mask, image in zip(masks, images, strict=True):
        assert mask.dtype == np.uint8
        assert (mask == predict(model, image).mask).all()


def test_it_works_in_other_processes_and_travels_without_the_model() -> None:
    predictor = MaskPredictor(CHECKPOINT, tile=64, tta=False)
    images = make_images(2)
    expected = predictor(images)
    assert len(pickle.dumps(predictor)) < 500, "also after it has loaded the model"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        found = list(executor.map(predictor, [images[:1], images[1:]]))
    assert (np.stack([masks[0] for masks in found]) == np.stack(expected)).all()


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    whole = as_file(make_images(1)[0])
    with pytest.raises(ValueError, match="image 2 is damaged"):
        MaskPredictor(CHECKPOINT)([whole, whole[:40]])
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        MaskPredictor(tmp_path / "none")([whole])


def test_dask_maps_it_over_partitions() -> None:
    bag = pytest.importorskip("dask.bag")
    images = make_images(3)
    masks = bag.from_sequence(images, npartitions=2).map_partitions(MaskPredictor(CHECKPOINT))
    found = masks.compute(scheduler="threads")
    assert (np.stack(found) == np.stack(MaskPredictor(CHECKPOINT)(images))).all()
