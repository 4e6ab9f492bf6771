"""The model card: it states the facts of the run, and leaves out what is not known."""

import dataclasses
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from tiramisu.checkpoints.card import make_card
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.data.catalog import load_spec
from tiramisu.training.config import TrainConfig
from tiramisu.training.run_settings import save_config

CLASSES = ("road", "sky | clouds", "a_b_c")
INFO = ModelInfo(
    arch="fc56", class_names=CLASSES, colors=((0, 0, 0), (1, 1, 1), (2, 2, 2)), dataset="mine"
)
SCORES = {
    "checkpoint": "/home/somebody/runs/mine",
    "arch": "fc56",
    "data": "/home/somebody/mine",
    "split": "val",
    "images": 7,
    "bn": "running",
    "tta": False,
    "mean_iou": 0.51234,
    "pixel_accuracy": 0.875,
    "mean_accuracy": None,
    "iou": dict(zip(CLASSES, (0.9, 0.123, None), strict=True)),
    "recall": dict(zip(CLASSES, (0.95, 0.2, None), strict=True)),
}


def card_of(info: ModelInfo = INFO, **options: Any) -> ModelCard:
    return make_card(info, network="FCDenseNet", num_parameters=1_376_795, **options)


def section(card: ModelCard, name: str) -> str:
    (text,) = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", card.text, re.DOTALL | re.MULTILINE)
    return text


def write_scores(path: Path, **changes: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**SCORES, **changes}))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The file of weights in the folder of a run, beside its settings and scores."""
    config = TrainConfig(
        data="/home/somebody/mine", data_root="/home/somebody/mine", lr=0.0125, epochs=17
    )
    save_config(config, tmp_path)
    write_scores(tmp_path / "scores" / "scores.json")
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"")
    return weights


def test_the_front_matter_is_what_the_hub_reads(source: Path) -> None:
    card = card_of(source=source)
    assert card.data.library_name == "tiramisu"
    assert card.data.pipeline_tag == "image-segmentation"
    assert {"tiramisu", "fc-densenet", "semantic-segmentation"} <= set(card.data.tags)
    assert card.data.license is None
    figures = {result.metric_name: result for result in card.data.eval_results}
    assert figures["mean IoU"].metric_value == 0.5123
    assert figures["mean IoU"].metric_type == "mean_iou"
    assert figures["mean IoU"].dataset_split == "val"
    assert figures["pixel accuracy"].metric_type == "accuracy"
    assert "class accuracy" not in figures


def test_results_come_from_the_scores(source: Path) -> None:
    figures = section(card_of(source=source), "Results")
    assert "| split | images | mean IoU | pixel accuracy | options |" in figures
    assert "| val | 7 | 51.2 | 87.5 |  |" in figures
    assert "| road | 90.0 | 95.0 |" in figures
    assert "| sky \\| clouds | 12.3 | 20.0 |" in figures
    assert "| a\\_b\\_c | - | - |" in figures


def test_dice_stands_beside_iou(source: Path) -> None:
    dice = dict(zip(CLASSES, (0.93, 0.22, None), strict=True))
    write_scores(source.parent / "scores" / "scores.json", mean_dice=0.6, dice=dice)
    card = card_of(source=source)
    figures = section(card, "Results")
    assert "| split | images | mean IoU | mean Dice | pixel accuracy | options |" in figures
    assert "| class | IoU | Dice | recall |" in figures
    assert "| road | 90.0 | 93.0 | 95.0 |" in figures
    kinds = {result.metric_name: result.metric_type for result in card.data.eval_results}
    assert kinds["mean Dice"] == "f1"


def test_the_settings_are_those_of_the_run_without_its_paths(source: Path) -> None:
    card = card_of(source=source)
    (block,) = re.findall(r"```yaml\n(.*?)```", card.text, re.DOTALL)
    recipe = yaml.safe_load(block)
    assert recipe["lr"] == 0.0125
    assert recipe["epochs"] == 17
    assert recipe["data"] == "mine"
    assert "somebody" not in str(card)
    assert "started from" not in card.text
    TrainConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in recipe.items()})


def test_other_evaluations_of_the_same_weights_are_listed(source: Path) -> None:
    folder = source.parent / "eval"
    write_scores(folder / "mine_test_running" / "scores.json", split="test", mean_iou=0.4)
    write_scores(folder / "mine_val_batch10" / "scores.json", bn="batch", mean_iou=0.6)
    write_scores(folder / "mine_val_tta" / "scores.json", tta=True, mean_iou=0.65)
    write_scores(folder / "mine_val_running" / "scores.json", mean_iou=0.51235)
    write_scores(folder / "mine_val_mc20" / "scores.json", mc_dropout=20, mean_iou=0.66)
    write_scores(folder / "b" / "scores.json", data="/home/somebody/other.yaml", mean_iou=0.2)
    write_scores(folder / "onnx" / "scores.json", checkpoint="a/model_int8.onnx", mean_iou=0.11)
    write_scores(folder / "fc67" / "scores.json", arch="fc67", mean_iou=0.12)
    classes = {"iou": {"x": 0.5}, "recall": {"x": 0.5}}
    write_scores(folder / "classes" / "scores.json", **classes, mean_iou=0.13)
    write_scores(folder / "old" / "scores.json", split="older", mean_iou=0.14)
    os.utime(folder / "old" / "scores.json", (1, 1))
    card = card_of(source=source)
    figures = section(card, "Results")
    assert "| test | 7 | 40.0 | 87.5 |  |" in figures
    assert figures.count("| val | 7 | 51.2 |") == 1  # a repeated evaluation is left out
    assert "| val | 7 | 60.0 | 87.5 | batch norm: statistics of each batch |" in figures
    assert "| val | 7 | 65.0 | 87.5 | test-time augmentation |" in figures
    assert "| val | 7 | 66.0 | 87.5 | mean of 20 passes with dropout |" in figures
    assert "| val | 7 | 20.0 | 87.5 | data set other |" in figures
    for foreign in ("11.0", "12.0", "13.0", "14.0"):
        assert f" {foreign} " not in figures
    assert "somebody" not in str(card)
    # Only what is comparable goes to the Hub's own table.
    values = {(r.dataset_split, r.metric_value) for r in card.data.eval_results}
    assert values == {("val", 0.5123), ("val", 0.875), ("test", 0.4), ("test", 0.875)}


def test_limits_follow_from_the_run(source: Path) -> None:
    limits = section(card_of(source=source), "Limits")
    assert "epoch was chosen" in limits
    assert "(IoU below 20 %): sky \\| clouds." in limits
    (source.parent / "config.yaml").unlink()
    save_config(TrainConfig(data="/home/somebody/mine", keep="last"), source.parent)
    assert "epoch was chosen" not in section(card_of(source=source), "Limits")
    write_scores(source.parent / "eval" / "test" / "scores.json", split="test")
    assert "only on its validation split" not in section(card_of(source=source), "Limits")


def test_the_licence_is_that_of_the_shipped_data_set_and_not_of_another_of_the_same_name() -> None:
    spec = load_spec("camvid")
    assert spec.source is not None
    colors = tuple(tuple(map(int, color)) for color in spec.colors)
    info = dataclasses.replace(INFO, dataset="camvid", class_names=spec.class_names, colors=colors)
    card = card_of(info)
    assert spec.source.homepage in section(card, "Training")
    assert spec.source.licence.split(",")[0] in section(card, "Licence").replace("\\", "")
    other = card_of(dataclasses.replace(INFO, dataset="camvid"))
    assert "licence unknown" in section(other, "Licence")
    assert "author's own" in section(other, "Training")


def test_drawn_data_sets_are_named_as_a_limit() -> None:
    spec = load_spec("streets")
    colors = tuple(map(tuple, spec.colors.tolist()))
    info = dataclasses.replace(INFO, dataset="streets", class_names=spec.class_names, colors=colors)
    assert "photographs" in section(card_of(info), "Limits")


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    card = card_of(source=tmp_path / "model.safetensors")
    assert card.data.eval_results is None
    assert "not available" in section(card, "Training")
    assert "No results were available" in section(card, "Results")
    assert "not evaluated" in section(card, "Limits")
    assert "no licence is granted" in section(card, "Licence")
    known = card_of(dataclasses.replace(INFO, metrics={"mean_iou": 12.5}))
    assert "| val |  | 12.5 |  |" in section(known, "Results")


def test_a_checkpoint_does_not_show_scores_that_may_be_of_another_epoch(source: Path) -> None:
    checkpoint = source.parent / "checkpoints" / "last.ckpt"
    write_scores(checkpoint.parent / "eval" / "mine_val_running" / "scores.json")  # of any epoch
    checkpoint.write_bytes(b"")
    os.utime(checkpoint, (1, 1))
    card = card_of(source=checkpoint)
    assert "0.0125" in section(card, "Training")
    assert "No results were available" in section(card, "Results")


def test_damaged_scores_are_an_error(source: Path) -> None:
    (source.parent / "scores" / "scores.json").write_text("{")
    with pytest.raises(ValueError, match=r"scores\.json is damaged.*--overwrite"):
        card_of(source=source)


def test_a_classifier_is_described_as_one(source: Path) -> None:
    info = dataclasses.replace(
        INFO,
        arch="densenet_bc100_12",
        task="classification",
        image_size=(32, 32),
        image_scale=0.5,
    )
    write_scores(
        source.parent / "scores" / "scores.json",
        arch=info.arch,
        top1=0.9375,
        top5=None,
        mean_iou=None,
        pixel_accuracy=None,
        iou=None,
        precision=SCORES["recall"],
    )
    card = card_of(info, source=source, repo_id="me/things")
    assert card.data.pipeline_tag == "image-classification"
    assert "fc-densenet" not in card.data.tags
    assert [result.metric_value for result in card.data.eval_results] == [0.9375]
    assert "| val | 7 | 93.8 |  |" in section(card, "Results")
    assert "| class | precision | recall |" in section(card, "Results")
    assert "32x32" in section(card, "Model")
    assert "1608.06993" in section(card, "Model")
    assert 'load_model("hf://me/things")' in section(card, "Use")
    assert ".mask" not in section(card, "Use")


def test_only_the_first_100_classes_are_named() -> None:
    names = tuple(f"class{i}" for i in range(1000))
    card = card_of(
        dataclasses.replace(
            INFO,
            arch="densenet121",
            task="classification",
            class_names=names,
            colors=((0, 0, 0),) * 1000,
        )
    )
    assert "class99 and 900 more, in config.json" in section(card, "Model")
    assert "class100" not in card.text


def test_the_model_section_has_the_numbers_of_the_model() -> None:
    info = dataclasses.replace(
        INFO, dropout=0.1, image_scale=0.5, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    model = section(card_of(info, half=True), "Model")
    assert "`fc56` (`FCDenseNet`), 1,376,795 parameters, dropout 0.1, stored in fp16" in model
    assert "mean 0.485 0.456 0.406, std 0.229 0.224 0.225" in model
    assert "0.5 times their size" in model
    assert "logits of 3 classes for each pixel" in model
    assert "1611.09326" in model
    assert "road, sky \\| clouds, a\\_b\\_c" in model
    plain = section(card_of(), "Model")
    assert "dropout" not in plain
    assert "fp16" not in plain
    assert "times their size" not in plain


def test_the_images_that_a_model_takes_are_described() -> None:
    assert "- Input: RGB images with values from 0 to 255. The" in str(card_of())
    deep = dataclasses.replace(
        INFO,
        pixel_type="uint16",
        bands=(4, 1),
        value_range=((0, 4095),) * 2,
        mean=(0.5, 0.5),
        std=(0.1, 0.2),
    )
    assert (
        "- Input: images with bands 2 (4, 1) of the type uint16, with the values of their files (0 "
        "to 4095 become 0 to 1). The"
    ) in str(card_of(deep))


def test_a_network_with_an_encoder_is_of_the_family_of_the_encoder() -> None:
    card = card_of(dataclasses.replace(INFO, arch="unet:densenet121"))
    assert "densenet" in card.data.tags
    assert "1608.06993" in section(card, "Model")
    other = card_of(dataclasses.replace(INFO, arch="smp:unet/resnet34"))
    assert card.data.tags != other.data.tags == ["tiramisu", "pytorch", "semantic-segmentation"]
    assert "Paper" not in section(other, "Model")


def test_the_start_of_a_run_is_named_without_its_path(source: Path) -> None:
    config = TrainConfig(data="mine", init_from="/home/somebody/runs/first")
    (source.parent / "config.yaml").unlink()
    save_config(config, source.parent)
    assert "another model, `first` on" in section(card_of(source=source), "Training")


def test_sections_are_separated_by_one_empty_line(source: Path) -> None:
    for card in (card_of(), card_of(source=source), card_of(source=source, repo_id="me/mine")):
        text = re.sub(r"```.*?```", "CODE", card.content, flags=re.DOTALL)
        assert "\n\n\n" not in text
        assert re.findall(r"[^\n]\n## ", text) == []
        assert "{" not in text


SCORE_CHANGES = {
    "a word as score": {"mean_iou": "good"},
    "a score above 1": {"mean_iou": 5},
    "NaN": {"pixel_accuracy": math.nan},
    "scores of the classes as a number": {"iou": 3},
    "a word as score of a class": {"iou": dict.fromkeys(CLASSES, "x")},
    "images as a word": {"images": "x"},
    "a split as a number": {"split": 5},
    "statistics as a list": {"bn": []},
    "data as a number": {"data": 5},
    "passes as a word": {"mc_dropout": "many"},
    "a network as a number": {"arch": 5},
}


@pytest.mark.parametrize("changes", SCORE_CHANGES.values(), ids=SCORE_CHANGES)
def test_a_wrong_score_is_named(source: Path, changes: dict[str, Any]) -> None:
    write_scores(source.parent / "scores" / "scores.json", **changes)
    (field,) = changes
    with pytest.raises(ValueError, match=rf"^\S*scores\.json is damaged \({field}.*--overwrite"):
        card_of(source=source)


@pytest.mark.parametrize("content", ["", "3", "[]", "null", "[" * 100_000])
def test_scores_that_are_no_table_are_named(source: Path, content: str) -> None:
    (source.parent / "scores" / "scores.json").write_text(content)
    with pytest.raises(ValueError, match=r"^\S*scores\.json is damaged \([^\n]*--overwrite"):
        card_of(source=source)


@pytest.mark.parametrize("content", [b"", b"3", b"data: 5", b"\xff", b"!!python/name:os.system"])
def test_damaged_settings_are_named(source: Path, content: bytes) -> None:
    (source.parent / "config.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=r"^\S*config\.yaml[^\n]*$"):
        card_of(source=source)


@pytest.mark.parametrize(
    "content",
    [b"\xff", b"---\na: [1\n---\n", b"---\n3\n---\n", b"---\nmodel-index: 3\n---\n"],
    ids=["not UTF-8", "not YAML", "a number", "scores as a number"],
)
def test_a_published_card_that_is_damaged_is_named(tmp_path: Path, content: bytes) -> None:
    model = SegmentationModel.build(INFO)
    model.save_pretrained(tmp_path)
    (tmp_path / "README.md").write_bytes(content)
    with pytest.raises(ValueError, match=r"^\S*README\.md is no model card \([^\n]*$"):
        SegmentationModel.from_pretrained(tmp_path).generate_model_card()
