"""Each decision of a plan, from the facts on which it depends."""

import dataclasses
from collections.abc import Collection

import numpy as np
import pytest

from tiramisu.planning.facts import DataFacts
from tiramisu.planning.rules import MOST_PASSES, Limits, Rules, Schedule
from tiramisu.planning.speed import Speed
from tiramisu.training.config import TrainConfig

FACTS = DataFacts(
    class_names=("background", "crack"),
    num_train=94,
    num_val=24,
    height=320,
    width=480,
    smallest=320,
    one_size=True,
    channels=3,
    shares=np.array([0.97, 0.03]),
    thickness=np.array([100.0, 4.0]),
)
SPEED = Speed(train=10e-6, predict=2e-6, train_bytes=6000)


def decide(
    facts: DataFacts = FACTS,
    *,
    minutes: float = 60,
    memory: float = 8,
    speed: Speed = SPEED,
    given: Collection[str] = (),
    on_gpu: bool = False,
    **settings: object,
) -> tuple[dict[str, object], Schedule]:
    limits = Limits(seconds=60 * minutes, memory=memory * 2**30)
    start = TrainConfig(**settings)
    rules = Rules(facts, speed, limits, given=given, start=start, on_gpu=on_gpu)
    schedule = rules.decide()
    assert {d.setting: d.value for d in rules.decisions} == rules.settings
    assert all(d.reason for d in rules.decisions)
    TrainConfig(**rules.settings)
    return rules.settings, schedule


@pytest.mark.parametrize("minutes", [1, 2, 3, 5, 7, 12, 20, 60, 600])
@pytest.mark.parametrize("images", [4, 94, 700, 3000, 50_000])
@pytest.mark.parametrize("given", [{}, {"crop": None}])
def test_a_plan_fills_its_time_and_keeps_to_it(
    minutes: float, images: int, given: dict[str, object]
):
    facts = dataclasses.replace(FACTS, num_train=images, num_val=min(images, 20))
    settings, schedule = decide(facts, minutes=minutes, given=given, **given)
    if "max_steps" in settings:  # not all images are seen
        assert settings["keep"] == "last"
        assert settings["max_steps"] * settings["batch_size"] < images
    else:
        assert settings["epochs"] % settings["val_every"] == 0  # the last epoch is validated
        assert settings["epochs"] == schedule.epochs
    assert schedule.total <= 60 * minutes
    pixels = settings["epochs"] * settings.get("crops_per_image", 1) * 160**2
    if minutes >= 5 and given == {} and pixels < 0.9 * MOST_PASSES * 320 * 480:
        least = 0.5 if settings.get("crops_per_image", 3) < 3 else 0.75
        assert schedule.total > least * 60 * minutes


def test_final_epochs_on_whole_images_are_in_the_time():
    final = {"final_epochs": 2, "final_loss": "cross_entropy"}
    facts = dataclasses.replace(FACTS, num_train=200)
    without, _ = decide(facts, minutes=60, given={"crops_per_image", "image_scale"})
    given = {"image_scale", *final}
    settings, schedule = decide(facts, minutes=60, given=given, **final)
    assert settings["crops_per_image"] == 1
    assert schedule.total <= 3600
    seconds = 1e-5 * 200 * ((settings["epochs"] - 2) * 160**2 + 2 * 320 * 480)
    assert schedule.training == pytest.approx(seconds)
    assert settings["epochs"] % settings["val_every"] == 0
    assert 2 < settings["epochs"] < without["epochs"]
    short, schedule = decide(facts, minutes=1, given=given, **final)
    assert short["epochs"] == short["val_every"] == 3
    assert schedule.total > 60  # which the plan says


def test_time_spent_on_validation_is_limited():
    facts = dataclasses.replace(FACTS, num_val=300)
    _, schedule = decide(facts)
    assert (schedule.validations + 1) * schedule.validation < 0.25 * schedule.total


def test_images_are_shrunk_where_the_time_is_short_but_never_to_lose_an_object():
    large = dataclasses.replace(FACTS, num_train=400, thickness=np.array([100.0, 40.0]))
    assert decide(large, minutes=600)[0]["image_scale"] == 1
    scales = [decide(large, minutes=minutes)[0]["image_scale"] for minutes in (120, 60, 20, 5)]
    assert scales == sorted(scales, reverse=True)
    assert scales[-1] <= 0.5
    thin = dataclasses.replace(large, thickness=np.array([100.0, 3.5]))
    assert decide(thin, minutes=5)[0]["image_scale"] == 1


def test_crops_fit_into_the_images():
    for height, width, crop in ((320, 480, (160, 160)), (100, 480, (96, 160)), (40, 50, (64, 64))):
        facts = dataclasses.replace(FACTS, height=height, width=width, smallest=height)
        assert decide(facts)[0]["crop"] == crop


def test_the_batch_fits_into_memory():
    assert decide(memory=8)[0]["batch_size"] == 4
    each = SPEED.train_bytes * 160**2 / 2**30
    assert decide(memory=3.5 * each)[0]["batch_size"] == 3
    assert decide(memory=1.01 * each)[0]["batch_size"] == 1
    with pytest.raises(ValueError, match=r"--memory is 0\.07.* GiB, and a training step"):
        decide(memory=each / 2)


def test_rare_classes_bring_dice():
    assert decide()[0]["loss"] == "cross_entropy+dice"
    even = dataclasses.replace(FACTS, shares=np.array([0.92, 0.08]))
    assert decide(even)[0]["loss"] == "cross_entropy"


def test_few_images_have_long_epochs():
    few = dataclasses.replace(FACTS, num_train=4, num_val=1)
    settings, _ = decide(few)
    assert settings["epochs"] <= 100
    assert settings["crops_per_image"] >= 2 * 6  # an image has the pixels of six crops


def test_a_gpu_takes_larger_crops_and_batches():
    settings, _ = decide(on_gpu=True)
    assert (settings["crop"], settings["batch_size"]) == ((256, 256), 8)


def test_a_faster_network_is_named_where_time_is_short():
    def reason(minutes: float, **changes: object) -> str:
        limits = Limits(seconds=60 * minutes, memory=2**33)
        start = TrainConfig(**changes)
        rules = Rules(FACTS, SPEED, limits, given=set(changes), start=start, on_gpu=False)
        rules.decide()
        return rules.decisions[0].reason

    assert "smp:unet/mobilenet_v2 learns faster" in reason(10)
    assert "smp" not in reason(600)
    assert reason(10, arch="fc67") == "given"


def test_small_images_stay_as_they_are():
    small = dataclasses.replace(
        FACTS, num_train=5000, height=100, width=100, smallest=100, thickness=np.array([50.0, 50.0])
    )
    assert decide(small, minutes=1)[0]["image_scale"] >= 0.64


def test_optimiser_and_augmentation():
    settings, _ = decide()
    assert (settings["optimizer"], settings["schedule"]) == ("adamw", "onecycle")
    assert 0.5 <= settings["scale"][0] < 1 < settings["scale"][1] <= 2
    assert 0 < settings["color"] <= 0.5


@pytest.mark.parametrize("arch", ["smp:unet/mobilenet_v2", "own_nets:Net"])
def test_other_networks_keep_their_dropout(arch: str):
    assert decide(arch=arch)[0].get("dropout") is None
    assert decide(arch="fc67")[0]["dropout"] == 0


def test_whole_images_of_different_sizes_come_one_by_one():
    mixed = dataclasses.replace(FACTS, one_size=False)
    assert decide(mixed, given={"crop"}, crop=None)[0]["batch_size"] == 1
    assert decide(given={"crop"}, crop=None)[0]["batch_size"] == 4


def test_a_number_of_steps_ends_the_run_early():
    settings, schedule = decide(given={"max_steps"}, max_steps=300)
    samples = 94 * settings["crops_per_image"]
    assert settings["epochs"] == schedule.epochs == -(-300 // (samples // 4))


def test_images_of_a_fixed_size():
    settings, _ = decide(given={"resize"}, resize=(128, 200), minutes=1)
    assert (settings["image_scale"], settings["crop"]) == (1, (128, 160))


def test_the_rate_suits_the_optimiser():
    assert decide()[0]["lr"] == 3e-3
    assert decide(init_from="runs/other")[0]["lr"] == 1e-3
    assert not {"lr", "weight_decay"} & {*decide(given={"optimizer"}, optimizer="sgd")[0]}


def test_what_is_given_stays():
    settings, schedule = decide(given={"epochs", "crop", "lr"}, epochs=7, crop=(64, 64), lr=0.5)
    assert (settings["epochs"], settings["crop"], settings["lr"]) == (7, (64, 64), 0.5)
    assert schedule.epochs == 7
    assert settings["val_every"] <= 7
    whole, _ = decide(given={"crop"}, crop=None)
    assert whole["crop"] is None
    assert whole["crops_per_image"] == 1
