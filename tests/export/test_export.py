"""Exported models: equal to the PyTorch model at all sizes, and used in its place."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tiramisu.checkpoints.checkpoint import load_model, save_model
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import ClassificationModel, SegmentationModel
from tiramisu.data.catalog import load_spec
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
from tiramisu.export import exporting
from tiramisu.export.config import ExportConfig
from tiramisu.export.exporting import export_checkpoint
from tiramisu.export.formats import export_model
from tiramisu.inference import packages
from tiramisu.inference.exported import Description, ExportedModel, load_exported
from tiramisu.inference.load import load_predictor
from tiramisu.inference.predict import predict
from tiramisu.inference.uncertainty import predict_uncertainty
from tiramisu.models import DenseNet, FCDenseNet

FORMATS = {"onnx": "onnxruntime", "openvino": "openvino", "pt2": "torch"}
SUFFIX = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2"}


def needs(*names: str) -> None:
    for name in names:
        pytest.importorskip(name, reason=f'{name} comes with pip install -e ".[export]"')


@pytest.fixture(scope="module")
def model() -> SegmentationModel:
    """A narrow FC-DenseNet whose running statistics are not those of a fresh network."""
    torch.manual_seed(0)
    network = FCDenseNet(
        growth_rate=4,
        down_blocks=(1, 2, 1, 1, 1),
        bottleneck_layers=1,
        up_blocks=(1, 1, 1, 2, 1),
        stem_width=8,
        num_classes=3,
    )
    network.train()(torch.randn(2, 3, 64, 64))
    info = ModelInfo(
        arch="tiny",
        class_names=("sky", "wall", "road"),
        colors=((1, 2, 3), (128, 0, 0), (0, 0, 192)),
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.3, 0.4),
        image_scale=0.5,
    )
    return SegmentationModel(network, info).eval()


@pytest.fixture(scope="module")
def classifier(model: SegmentationModel) -> ClassificationModel:
    network = DenseNet(growth_rate=4, block_config=(1, 1), num_classes=3)
    return ClassificationModel(network, model.info).eval()


@pytest.fixture(scope="module", params=FORMATS)
def exported(request: pytest.FixtureRequest, model: SegmentationModel, tmp_path_factory) -> Path:
    needs(FORMATS[request.param], *(["onnxscript"] if request.param == "onnx" else []))
    folder = tmp_path_factory.mktemp(request.param)
    return export_model(model, folder / f"model{SUFFIX[request.param]}")


@pytest.mark.parametrize("shape", [(1, 64, 64), (1, 32, 47), (2, 71, 96), (3, 45, 33)])
def test_equals_the_model_at_any_size(exported: Path, model, shape) -> None:
    images = torch.randint(0, 256, (shape[0], 3, *shape[1:]), dtype=torch.uint8)
    with torch.inference_mode():
        expected = model(images)
        resized = model(images, size=(40, 50))
    runs = load_exported(exported)
    torch.testing.assert_close(runs(images), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(runs(images, size=(40, 50)), resized, rtol=0, atol=1e-4)


def test_onnx_files_name_their_axes(model, classifier, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    needs("onnxscript", "onnxruntime")
    images = ["batch", 3, "height", "width"]
    for number, (exported, logits) in enumerate(
        ((model, ["batch", 3, "height", "width"]), (classifier, ["batch", 3]))
    ):
        graph = onnx.load(export_model(exported, tmp_path / f"{number}.onnx")).graph
        axes = {
            value.name: [
                axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim
            ]
            for value in (*graph.input, *graph.output)
        }
        assert axes == {"images": images, "logits": logits}


def test_predicts_in_the_models_place(exported: Path, model) -> None:
    runs = load_predictor(exported, accelerator="auto")
    assert runs.info == model.info
    image = np.random.default_rng(0).integers(0, 256, (150, 170, 3), dtype=np.uint8)
    for tile in (None, 64, "auto"):
        expected, found = predict(model, image, tile=tile), predict(runs, image, tile=tile)
        assert (expected.mask == found.mask).mean() > 0.999
        assert found.class_names == ("sky", "wall", "road")


def test_has_no_dropout_any_more(exported: Path) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match=r"exported model .* has no dropout"):
        predict_uncertainty(load_exported(exported), image)


def test_refuses_what_it_did_not_write(exported: Path, tmp_path: Path) -> None:
    broken = tmp_path / exported.name
    for part in exported.parent.iterdir():
        shutil.copy(part, tmp_path)
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(ValueError, match="is damaged"):
        load_exported(broken)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_exported(tmp_path / f"missing{exported.suffix}")
    with pytest.raises(ValueError, match="give the run's folder instead"):
        load_predictor(exported, accelerator="gpu")


def test_refuses_a_file_without_description(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    needs("onnxruntime")
    value = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    same = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    node = onnx.helper.make_node("Identity", ["images"], ["logits"])
    graph = onnx.helper.make_graph([node], "stranger", [value], [same])
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "a.onnx"
    )
    with pytest.raises(ValueError, match="was not written by `tiramisu export`"):
        load_exported(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.tflite", {}, "expected an ending of .onnx, .xml, .pt2"),
        ("a.pt2", {"int8": True}, "no int8 for .pt2"),
        ("a.onnx", {"int8": True}, "needs images to calibrate on"),
    ],
)
def test_refuses_formats_it_has_not(model, tmp_path: Path, name, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        export_model(model, tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_running_out_of_memory_is_told_apart(model, tmp_path: Path) -> None:
    class StrangeError(Exception):
        """As ONNX Runtime's: of no kind."""

    def fail(words: str) -> ExportedModel:
        def run(images: np.ndarray) -> np.ndarray:
            raise StrangeError(words)

        description = Description(info=model.info, precision="fp32")
        return ExportedModel(run, description, path=tmp_path / "a.onnx")

    images = torch.zeros(1, 3, 32, 32)
    with pytest.raises(torch.OutOfMemoryError, match=r"a\.onnx: out of memory"):
        fail("Failed to allocate memory for requested buffer of size 99")(images)
    with pytest.raises(StrangeError):
        fail("Got invalid dimensions for input")(images)


def test_a_missing_package_is_named(model, tmp_path: Path, monkeypatch) -> None:
    def fail(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(packages.importlib, "import_module", fail)
    with pytest.raises(ValueError, match=r'pip install "tiramisu-seg\[export\]"'):
        export_model(model, tmp_path / "a.onnx")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder of an untrained FC-DenseNet56 for `streets`."""
    spec = load_spec("streets")
    torch.manual_seed(0)
    info = ModelInfo(
        arch="fc56",
        class_names=spec.class_names,
        colors=tuple((r, g, b) for r, g, b in spec.colors.tolist()),
        dataset="streets",
    )
    folder = tmp_path_factory.mktemp("run")
    save_model(SegmentationModel.build(info), folder)
    return folder


@pytest.fixture
def small_parity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "PARITY_SIZES", ((1, 64, 64), (2, 37, 45)))


def test_int8_is_calibrated_and_evaluated(run_folder: Path, tmp_path: Path, small_parity) -> None:
    needs("openvino", "nncf")
    config = ExportConfig(
        checkpoint=str(run_folder),
        format="openvino",
        int8=True,
        samples=4,
        limit=2,
        out=str(tmp_path / "small.xml"),
    )
    report = export_checkpoint(config)
    assert report.accuracy is not None
    assert (report.accuracy.images, report.accuracy.calibration_images) == (2, 4)
    written = json.loads((tmp_path / "small.xml.json").read_text())
    assert written["accuracy"]["score"] == report.accuracy.score
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "small.bin",
        "small.xml",
        "small.xml.json",
    ]
    # A quarter of fp32's four bytes a weight, and some for what stays in fp32.
    assert report.bytes < 0.6 * (run_folder / "model.safetensors").stat().st_size
    assert load_exported(tmp_path / "small.xml").precision == "int8"
    # The same numbers whatever else the runtime has seen.
    runs, model = load_exported(tmp_path / "small.xml"), load_model(run_folder)
    images = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    first = runs(images)
    runs(images[..., :64])
    torch.testing.assert_close(runs(images), first)
    with torch.inference_mode():
        expected = model(images)
    assert torch.corrcoef(torch.stack([first.flatten(), expected.flatten()]))[0, 1] > 0.99


def test_openvino_files_keep_channels_known(model, classifier, tmp_path: Path) -> None:
    """Other programs run the graph of open sizes; int8 is wrong where channels are unknown."""
    ov = pytest.importorskip("openvino")
    other = ov.Core().read_model(export_model(classifier, tmp_path / "classifier.xml"))
    assert str(other.input("images").partial_shape) == "[?,3,?,?]"
    assert str(other.output("logits").partial_shape) == "[?,3]"
    graph = ov.Core().read_model(export_model(model, tmp_path / "model.xml"))
    assert str(graph.input("images").partial_shape) == "[?,3,?,?]"
    classes = graph.output("logits").partial_shape
    assert [axis.get_length() if axis.is_static else None for axis in classes][:2] == [None, 3]
    convolutions = [op for op in graph.get_ops() if op.get_type_name().startswith("Convolution")]
    assert len(convolutions) > 20
    assert all(op.input(0).get_partial_shape()[1].is_static for op in convolutions)


def test_the_command_keeps_earlier_exports(run_folder: Path, tmp_path: Path, small_parity) -> None:
    config = ExportConfig(checkpoint=str(run_folder), format="pt2", out=str(tmp_path / "model.pt2"))
    report = export_checkpoint(config)
    assert max(p.max_difference for p in report.parity) < 1e-4
    with pytest.raises(ValueError, match="already exists; replace it with --overwrite"):
        export_checkpoint(config)
    with pytest.raises(ValueError, match=r"expected a name that ends in \.onnx"):
        export_checkpoint(
            ExportConfig(checkpoint=str(run_folder), format="onnx", out=str(tmp_path / "model.pt2"))
        )
    with pytest.raises(ValueError, match="--int8 with --format pt2"):
        ExportConfig(checkpoint=str(run_folder), format="pt2", int8=True)


def test_batch_norm_of_an_exported_model_is_fixed(exported: Path) -> None:
    config = EvalConfig(checkpoint=str(exported), data="streets", bn="recalibrated")
    model = load_exported(exported)
    model.info = ModelInfo(
        arch="tiny", class_names=load_spec("streets").class_names, colors=((0, 0, 0),) * 11
    )
    with pytest.raises(ValueError, match="is an exported model"):
        evaluate_checkpoint(config, model=model)


def test_rounding_errors_of_large_logits_are_no_difference(
    run_folder: Path, tmp_path: Path, small_parity, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(run_folder)
    model.network.classifier.weight.data *= 1000  # large logits, as after few steps
    save_model(model, tmp_path / "large")
    config = ExportConfig(
        checkpoint=str(tmp_path / "large"), format="pt2", out=str(tmp_path / "model.pt2")
    )
    report = export_checkpoint(config)
    assert min(p.max_logit for p in report.parity) > 10
    assert all(p.equal for p in report.parity)

    class Shifted(exporting.ExportedModel):
        def __call__(self, images, **options):
            return super().__call__(images, **options) * 1.01

    def load_shifted(path: Path) -> exporting.ExportedModel:
        exported = load_exported(path)
        exported.__class__ = Shifted
        return exported

    monkeypatch.setattr(exporting, "load_exported", load_shifted)
    other = ExportConfig(
        checkpoint=str(tmp_path / "large"), format="pt2", out=str(tmp_path / "other.pt2")
    )
    with pytest.raises(ValueError, match="have the same class: nothing was written"):
        export_checkpoint(other)
    assert not (tmp_path / "other.pt2").exists()
