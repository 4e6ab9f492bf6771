"""The settings of a training that follow from the data and from the speed of the machine.

Where a rule was chosen by trying, the figures stand beside it. They are of FC-DenseNet56, one seed,
after five minutes on one core. All rules together are compared with the defaults of TrainConfig, in
the same time, in docs/results.md. The rules still have to be tried for an hour.
"""

import dataclasses
import math
from collections.abc import Collection
from typing import Any

from tiramisu.models import list_models
from tiramisu.planning.facts import DataFacts
from tiramisu.planning.speed import Speed
from tiramisu.training.config import TrainConfig
from tiramisu.training.task import STATISTICS_BATCHES

FASTER = "smp:unet/mobilenet_v2"
"""A network that is not ours, and takes a seventh of the time of FC-DenseNet56."""
SCALES = (1.0, 0.75, 0.5, 0.35, 0.25)
ENOUGH_PASSES = 20
"""Passes over all pixels of the training images that are worth a lower resolution."""
MOST_PASSES = 200
"""More passes over the same images hardly help."""
MOST_EPOCHS = 100
THINNEST = 3.0
"""Pixels that the thinnest objects keep when images are shrunk."""
RARE = 0.05
"""Share of the pixels below which a class is rare. IoU of crack in CrackForest (2.3 %): 6.8 with
whole images and the defaults, 15.4 with crops, onecycle and 0.003, 19.5 with Dice besides."""
VALIDATION_SHARE = 0.1
"""Largest part of the time for validations."""
MOST_VALIDATIONS = 20
SAFETY = 0.92
"""Part of the time that is planned for: steps take longer than they were measured now and then."""
START_SECONDS = 15.0
"""For the check of the data, the start, and the files at the end."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What a training may take."""

    seconds: float
    memory: float
    """Bytes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decision:
    """One setting, and why it has its value."""

    setting: str
    value: Any
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the time of a training is spent, in seconds."""

    training: float
    validation: float
    """One of them."""
    evaluation: float
    """Of the final model."""
    epochs: int
    validations: int

    @property
    def total(self) -> float:
        """The whole run."""
        validations = self.validations * self.validation
        return START_SECONDS + self.training + validations + self.evaluation


class Rules:
    """Decides the settings of a training one after another; each may depend on those before it.

    Args:
        facts: about the data.
        speed: of the network on this machine.
        limits: of time and memory.
        given: settings that the user has given, by name; they stay as they are.
        start: all settings before the decisions: given ones and defaults.
        on_gpu: whether the training runs on a GPU.
    """

    def __init__(
        self,
        facts: DataFacts,
        speed: Speed,
        limits: Limits,
        *,
        given: Collection[str],
        start: TrainConfig,
        on_gpu: bool,
    ) -> None:
        self.facts = facts
        self.speed = speed
        self.limits = limits
        self.given = given
        self.start = start
        self.on_gpu = on_gpu
        self.decisions: list[Decision] = []

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that are decided so far, by name."""
        return {decision.setting: decision.value for decision in self.decisions}

    def decide(self) -> Schedule:
        """Decide all settings, which `decisions` then has, with a reason for each."""
        self._set("arch", self.start.arch, self._describe_arch())
        self._choose_scale()
        self._choose_crop()
        self._choose_batch()
        self._choose_sampling()
        self._choose_loss()
        self._choose_optimizer()
        self._choose_augmentation()
        return self._choose_length()

    def _set(self, setting: str, value: Any, reason: str) -> None:
        if setting in self.given:
            value, reason = getattr(self.start, setting), "given"
        self.decisions.append(Decision(setting=setting, value=value, reason=reason))

    def _describe_arch(self) -> str:
        rate = 1 / (self.speed.train * 1e6)
        where = "GPU" if self.on_gpu else "CPU"
        reason = f"trains on {rate:.2g} megapixels a second on this {where}"
        if not self.on_gpu and self.count_passes(1.0) < ENOUGH_PASSES:
            reason += f"; where time is short, {FASTER} learns faster"
        return reason

    def count_passes(self, scale: float) -> float:
        """Passes over all training pixels at a scale that fit into the time."""
        pixels = self.facts.num_train * self.facts.pixels * scale**2
        return self._training_seconds / (pixels * self.speed.train)

    @property
    def _training_seconds(self) -> float:
        return max(1.0, (self.limits.seconds - START_SECONDS) * SAFETY * (1 - VALIDATION_SHARE))

    def _choose_scale(self) -> None:
        facts = self.facts
        if self.start.resize is not None:
            self._set("image_scale", 1.0, "all images are resized")
            return
        thin = facts.thickness[facts.thinnest]
        name = facts.class_names[facts.thinnest]
        fitting = [
            scale
            for scale in SCALES
            if scale == 1 or (thin * scale >= THINNEST and facts.smallest * scale >= 64)
        ]
        chosen = next(
            (scale for scale in fitting if self.count_passes(scale) >= ENOUGH_PASSES), None
        )
        passes = self.count_passes(1.0)
        if chosen == 1:
            number = _show_number(min(passes, MOST_PASSES))
            reason = f"at full size, images are seen {number} times in the time"
        elif len(fitting) == 1:
            reason = f"{name} is {thin:.1f} pixels thick, and would be lost at a smaller size"
        else:
            chosen = chosen or fitting[-1]
            reason = (
                f"in the time, images are seen {_show_number(self.count_passes(chosen))} times and "
                f"not {_show_number(passes)}; {name}, {thin:.1f} pixels thick, keeps "
                f"{thin * chosen:.1f}"
            )
        self._set("image_scale", chosen or 1.0, reason)

    @property
    def _scaled(self) -> tuple[int, int]:
        if self.start.resize is not None:
            return self.start.resize
        scale = self.settings["image_scale"]
        return round(self.facts.height * scale), round(self.facts.width * scale)

    def _choose_crop(self) -> None:
        side = 256 if self.on_gpu else 160
        height, width = (max(64, min(side, length // 32 * 32)) for length in self._scaled)
        reason = f"many small steps; images are {self._scaled[0]} x {self._scaled[1]} at this scale"
        self._set("crop", (height, width), reason)

    @property
    def _crop_pixels(self) -> int:
        height, width = self.settings["crop"] or self._scaled
        return int(height * width)

    def _choose_batch(self) -> None:
        usual = 8 if self.on_gpu else 4
        if self.settings["crop"] is None and not (self.facts.one_size or self.start.resize):
            self._set("batch_size", 1, "whole images of different sizes")
            return
        each = max(1.0, self.speed.train_bytes * self._crop_pixels)
        fitting = int(self.limits.memory / each)
        if fitting < 1 and "batch_size" not in self.given:
            raise ValueError(
                f"--memory is {_show_bytes(self.limits.memory)}, and a training step on one image "
                f"takes {_show_bytes(each)}; give more, a smaller --crop, or another --arch"
            )
        batch = min(usual, fitting, max(2, self.facts.num_train))
        reason = f"takes {_show_bytes(batch * each)} of {_show_bytes(self.limits.memory)}"
        self._set("batch_size", batch, reason)

    def _choose_sampling(self) -> None:
        self._set("sampling", "uniform", "each image equally often")

    def _choose_loss(self) -> None:
        facts = self.facts
        share, name = facts.shares[facts.rarest], facts.class_names[facts.rarest]
        if share < RARE:
            reason = f"{name} is {100 * share:.2g} % of the pixels: Dice weighs classes equally"
            self._set("loss", "cross_entropy+dice", reason)
        else:
            self._set("loss", "cross_entropy", f"the rarest class, {name}, is {100 * share:.0f} %")

    def _choose_optimizer(self) -> None:
        self._set("optimizer", "adamw", "works at the same rate for most networks and data")
        if self.settings["optimizer"] in ("adam", "adamw"):
            if self.start.init_from is None:
                self._set("lr", 3e-3, "the peak; on photos of cracks, 0.01 was no better")
            else:
                self._set("lr", 1e-3, "lower, because the weights are trained already")
            self._set("weight_decay", 1e-2, "usual for adamw")
        self._set("schedule", "onecycle", "the rate rises and falls within the time")
        if self.settings["arch"] in list_models("segmentation"):  # others may have none
            self._set("dropout", 0.0, "short trainings do not overfit")

    def _choose_augmentation(self) -> None:
        self._set("scale", (0.8, 1.25), "shows objects from nearer and farther")
        self._set("color", 0.3, "light and cameras differ")

    def _choose_length(self) -> Schedule:
        facts, speed, start = self.facts, self.speed, self.start
        height, width = self._scaled
        pixels = height * width
        a_round = facts.num_train * self._crop_pixels * speed.train  # one crop of every image
        final = start.final_epochs * facts.num_train * pixels * speed.train  # of whole images
        statistics = STATISTICS_BATCHES * self.settings["batch_size"] * self._crop_pixels
        evaluation = facts.num_val * pixels * speed.predict
        validation = evaluation + 2 * statistics * speed.predict

        seconds = max(1.0, (self.limits.seconds - START_SECONDS) * SAFETY - evaluation - final)
        validations = int(seconds * VALIDATION_SHARE / validation)
        validations = max(1, min(MOST_VALIDATIONS, validations))
        rounds = max(0.0, seconds - validations * validation) / a_round
        ends = {"epochs", "crops_per_image", "max_steps", "keep", "final_epochs"}
        if rounds < 1 and not ends & set(self.given):
            return self._stop_within_an_epoch(rounds, evaluation)

        cropped = self.settings["crop"] is not None and not start.final_epochs
        covering = max(1.0, pixels / self._crop_pixels) if cropped else 1.0  # rounds for a pass
        rounds = max(1.0, min(MOST_PASSES * covering, rounds))
        wanted = min(MOST_EPOCHS, max(validations, round(rounds / covering)))
        crops = max(1, int(rounds / wanted)) if cropped else 1
        share = f"{crops / covering:.2g}"
        seen = "as many" if share == "1" else f"{share} times as many"
        self._set("crops_per_image", crops, f"an epoch sees {seen} pixels as the images have")
        crops = self.settings["crops_per_image"]
        fitting = rounds / crops
        if start.max_steps is not None:
            batch = self.settings["batch_size"] * start.accumulate
            steps = max(1, facts.num_train * crops // batch)  # of an epoch
            fitting = min(fitting, math.ceil(start.max_steps / steps))
        fitting += start.final_epochs
        every = max(1, int(fitting / validations))
        epochs = int(fitting / every) * every  # a multiple: the last one is validated
        if epochs <= start.final_epochs:
            epochs = every = start.final_epochs + 1
        training = (epochs - start.final_epochs) * crops * a_round + final
        self._set("epochs", epochs, f"{show_time(training)} of training")
        epochs = self.settings["epochs"]
        self._set("val_every", min(every, epochs), f"a validation takes {show_time(validation)}")
        return Schedule(
            training=(epochs - start.final_epochs) * crops * a_round + final,
            validation=validation,
            evaluation=evaluation,
            epochs=epochs,
            validations=epochs // self.settings["val_every"],
        )

    def _stop_within_an_epoch(self, rounds: float, evaluation: float) -> Schedule:
        """A schedule for less time than a crop of every image takes: a number of steps."""
        batch = self.settings["batch_size"] * self.start.accumulate
        steps = max(1, int(rounds * self.facts.num_train / batch))
        training = steps * batch * self._crop_pixels * self.speed.train
        self._set("epochs", 1, "the images are too many to see all of them in the time")
        self._set("max_steps", steps, f"{show_time(training)} of training")
        self._set("keep", "last", "an epoch that is broken off has no validation")
        return Schedule(
            training=training, validation=0, evaluation=evaluation, epochs=1, validations=0
        )


def _show_number(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.1g}" if number < 1 else f"{number:.1f}"


def show_time(seconds: float) -> str:
    """Seconds or minutes, in words."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _show_bytes(number: float) -> str:
    return f"{number / 2**30:.2g} GiB"
