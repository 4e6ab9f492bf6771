"""Who is compared: whose network, run in which way."""

import dataclasses

import torchvision
from segmentation_models_pytorch import MODEL_ARCHITECTURES_MAPPING
from segmentation_models_pytorch.encoders import get_encoder_names

from tiramisu.benchmark.cases import Case
from tiramisu.inference.exported import Format

SOURCES = {
    "ours": "this package's network, channels last",
    "plain": "the plain FC-DenseNet that the tests keep",
    "torchvision": "torchvision's DenseNet",
    "smp:NAME/ENCODER": "a model of segmentation-models-pytorch, such as smp:unet/resnet34",
}
WAYS = {
    "compile": "through torch.compile",
    "channels_last": "activations channels last (ours always are)",
    "memory_efficient": "activations computed again in the backward pass",
    "onnx": "exported, in ONNX Runtime",
    "onnx-int8": "exported and quantised, in ONNX Runtime",
    "openvino": "exported, in OpenVINO",
    "openvino-int8": "exported and quantised, in OpenVINO",
    "pt2": "exported by torch.export",
}
EXPORTED: dict[str, Format] = {
    "onnx": "onnx",
    "onnx-int8": "onnx",
    "openvino": "openvino",
    "openvino-int8": "openvino",
    "pt2": "pt2",
}
"""Ways that run a file instead of the network, and the file's format."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """A network and how it is run, written SOURCE+WAY, such as ours+compile."""

    source: str
    """One of SOURCES; smp models have a name and an encoder of their own."""
    ways: tuple[str, ...] = ()
    """Of WAYS; none is plain eager mode."""

    @property
    def name(self) -> str:
        return "+".join((self.source, *self.ways))

    @property
    def exported(self) -> str | None:
        """The way that runs a file, if there is one."""
        return next((way for way in self.ways if way in EXPORTED), None)


def parse_contender(name: str) -> Contender:
    """Read a contender's name. Raises ValueError, with all that is known, for another."""
    source, *ways = name.split("+")
    known = source in SOURCES or _is_smp(source)
    if not known or any(way not in WAYS for way in ways) or len(set(ways)) < len(ways):
        raise ValueError(
            f"--contenders: {name!r} is unknown; expected SOURCE or SOURCE+WAY, with the sources "
            f"{', '.join(SOURCES)} and the ways {', '.join(WAYS)}"
        )
    return Contender(source=source, ways=tuple(ways))


def check_contender(contender: Contender, case: Case) -> None:
    """Raise ValueError if a contender can never run a case, on whatever machine."""
    name = contender.name
    if contender.source == "plain" and not case.segments:
        raise ValueError(f"--contenders: {name} is an FC-DenseNet, not {case.arch}; leave it out")
    if contender.source == "torchvision" and not _has_torchvision(case.arch):
        raise ValueError(f"--contenders: torchvision has no {case.arch}; leave {name} out")
    if contender.source.startswith("smp:") and not case.segments:
        raise ValueError(f"--contenders: {name} segments and {case.arch} does not; leave it out")
    if "memory_efficient" in contender.ways and contender.source not in ("ours", "torchvision"):
        raise ValueError(f"--contenders: {name}: only ours and torchvision have memory_efficient")
    if contender.exported is None:
        return
    if contender.source != "ours" or len(contender.ways) > 1:
        raise ValueError(
            f"--contenders: {name}: exported networks are ours, and run in no other way; "
            f"write ours+{contender.exported}"
        )
    if case.mode == "train" or not case.segments or case.precision != "fp32":
        raise ValueError(
            f"--contenders: {name} runs the inference of segmentation networks in fp32, not "
            f"{case.title}; leave it out"
        )


def default_contenders(case: Case) -> list[str]:
    """The ways to run our network, and others to compare them with, the reference first."""
    if case.segments:
        others = ["plain"]
    elif _has_torchvision(case.arch):
        others = ["torchvision", "torchvision+channels_last"]
    else:
        others = []
    if case.mode == "train":
        return [*others, "ours", "ours+memory_efficient"]
    exported = ["ours+onnx", "ours+openvino", "ours+openvino-int8"]
    can_export = case.segments and case.precision == "fp32"
    return [*others, "ours", "ours+compile", *(exported if can_export else [])]


def growing_contenders(case: Case) -> list[str]:
    """Ours, and the reference to compare it with while a case grows."""
    return list(dict.fromkeys([default_contenders(case)[0], "ours"]))


def _has_torchvision(arch: str) -> bool:
    return hasattr(torchvision.models, arch)


def _is_smp(source: str) -> bool:
    library, _, model = source.partition(":")
    name, _, encoder = model.partition("/")
    return (
        library == "smp"
        and name in MODEL_ARCHITECTURES_MAPPING
        and (encoder in get_encoder_names() or encoder.startswith("tu-"))
    )
