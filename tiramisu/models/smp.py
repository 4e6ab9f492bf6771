"""The bridge to segmentation-models-pytorch, both ways.

Importing this module registers the DenseNets of this package as its encoders, named
`tiramisu-densenet121` and so on:

    import tiramisu
    tiramisu.register_smp_encoders()
    smp.Unet("tiramisu-densenet264", encoder_weights=None, in_channels=5)

`build_with_smp` builds its networks for images of any size.
"""

from __future__ import annotations

import logging
from difflib import get_close_matches
from typing import Any

import segmentation_models_pytorch as smp
from segmentation_models_pytorch.encoders._base import EncoderMixin
from torch import Tensor, nn

from tiramisu.models.arguments import check_counts
from tiramisu.models.backbone import Backbone
from tiramisu.models.densenet import densenet121, densenet161, densenet169, densenet201, densenet264
from tiramisu.models.padded import Padded
from tiramisu.models.pretrained import adapt_channels
from tiramisu.models.public_weights import PublicWeights, load_public
from tiramisu.own_parts import is_own_name, module_exists

_log = logging.getLogger(__name__)

_BUILDERS = (densenet121, densenet161, densenet169, densenet201, densenet264)
BUILDERS = {build.__name__: build for build in _BUILDERS}
PREFIX = "tiramisu-"


class DenseNetEncoder(Backbone, EncoderMixin):  # type: ignore[misc]
    """A DenseNet as an encoder of segmentation-models-pytorch: returns the image and `depth` maps.

    It differs from that library's own DenseNets in three ways: layers below `depth` are left out,
    the last map has its activation like all others, and there is DenseNet-264.

    The names in the state dict are the same. A decoder that was trained with that library's own
    encoder therefore loads, but computes the same only after
    `network.encoder.features["relu5"] = torch.nn.Identity()`. A warning is logged if the state dict
    tells: PyTorch keeps the version of each module beside it, but not in a safetensors file.

    Args:
        name: "densenet121", 161, 169, 201 or 264.
        in_channels, dropout, memory_efficient: as for `DenseNet`.
        depth: number of feature maps, 1 to 5: strides 2, 4, 8, 16, 32.
        output_stride: must be 32; see `make_dilated`.

    Raises:
        ValueError: the depth is out of its range.
    """

    _version = 2  # PyTorch writes it beside the state dict; that library's own encoders have 1

    def __init__(
        self,
        *,
        name: str,
        in_channels: int = 3,
        depth: int = 5,
        output_stride: int = 32,
        dropout: float = 0.0,
        memory_efficient: bool = False,
    ) -> None:
        if not 1 <= depth <= 5:
            raise ValueError(f"depth is {depth}; expected 1 to 5, the number of feature maps")
        network = BUILDERS[name](
            in_channels=in_channels, head=None, dropout=dropout, memory_efficient=memory_efficient
        )
        super().__init__(network, out_indices=range(depth))
        # `EncoderMixin` reads these names.
        self._in_channels = in_channels
        self._out_channels = [in_channels, *self.channels]
        self._depth = depth
        self._output_stride = output_stride

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, in_channels, H, W) -> the images, and feature maps at strides 2, 4, 8, ..."""
        maps = [images]
        maps.extend(self.make_maps(images))  # TorchScript does not support [images, *maps]
        return maps

    def set_in_channels(self, in_channels: int, pretrained: bool = True) -> None:
        """Change the number of input channels; pretrained filters are adapted."""
        conv = self.features["conv0"]
        if in_channels == conv.in_channels:
            return
        check_counts(in_channels=in_channels)
        weight = adapt_channels(conv.weight.detach(), in_channels)
        conv.in_channels = in_channels
        conv.weight = nn.Parameter(weight)
        if not pretrained:
            nn.init.kaiming_normal_(conv.weight)
        self.in_channels = self._in_channels = self._out_channels[0] = in_channels

    def make_dilated(self, output_stride: int) -> None:
        """Always raises ValueError: DenseNets halve images by pooling, which cannot be dilated."""
        raise ValueError(
            f"DenseNet encoders cannot be dilated to output stride {output_stride}, because they "
            "halve images by pooling: leave it at 32, or choose a decoder that allows that, such "
            "as Unet, FPN or UPerNet"
        )

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load weights; those of layers that this depth leaves out are ignored."""
        own = self.state_dict()
        kept = {name: value for name, value in state_dict.items() if name in own}
        return super().load_state_dict(kept, strict=strict, assign=assign)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any
    ) -> None:
        # The encoder's own `load_state_dict` drops the versions: here it is a part of a network.
        self.check_version(local_metadata.get("version"))
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    def check_version(self, version: int | None) -> None:
        """Log a warning if a decoder comes from a network whose encoder has version 1."""
        last = self.features["relu5"] if "relu5" in self.features else nn.Identity()
        if version == 1 and not isinstance(last, nn.Identity):
            _log.warning(
                "the weights seem to be those of segmentation-models-pytorch's own DenseNet, whose "
                "last feature map has no ReLU: for the same outputs, set "
                'encoder.features["relu5"] = torch.nn.Identity(); weights that this package saved '
                "before its version 0.2 are right as they are"
            )


def register_smp_encoders() -> list[str]:
    """Register the DenseNets of this package with segmentation-models-pytorch.

    Importing this module does so already. `encoder_weights="imagenet"` loads the weights that that
    library publishes for the same networks; `load_public` loads those of torchvision.

    Returns:
        The names of the encoders.
    """
    known = smp.encoders.encoders
    for name in BUILDERS:
        known[PREFIX + name] = {
            "encoder": DenseNetEncoder,
            "params": {"name": name},
            "pretrained_settings": known.get(name, {}).get("pretrained_settings", {}),
        }
    return [PREFIX + name for name in BUILDERS]


register_smp_encoders()


class AnySize(Padded):
    """A network of segmentation-models-pytorch for images of any size.

    Most of its networks need a height and width that are multiples of the stride of their encoder.

    Args:
        network: the network; its attribute `encoder` is its encoder.
        in_channels: number of channels of an image.
        num_classes: number of channels of the logits.

    Raises:
        ValueError: in `forward`, images have the wrong number of channels or are too small.
    """

    def __init__(self, network: nn.Module, *, in_channels: int, num_classes: int) -> None:
        encoder: Any = network.encoder
        super().__init__(
            network,
            in_channels=in_channels,
            num_classes=num_classes,
            stride=max(32, encoder.output_stride),
            # PAN pools three times more, after its encoder has divided by 16.
            min_size=97 if isinstance(network, smp.PAN) else 1,
        )

    @property
    def features(self) -> nn.Module:
        """The encoder, which `freeze()` freezes by default."""
        encoder = self.network.encoder
        assert isinstance(encoder, nn.Module)
        return encoder


def build_with_smp(
    name: str,
    *,
    num_classes: int,
    in_channels: int = 3,
    dropout: float | None = None,
    memory_efficient: bool = False,
    weights: PublicWeights = None,
) -> AnySize:
    """Build a network of segmentation-models-pytorch.

    The arguments are those of `build_model`. Encoders of timm have the prefix tu-, as in
    smp:fpn/tu-convnext_tiny. Only the DenseNets of this package take dropout and memory_efficient,
    and weights of torchvision; other encoders take those of their library, such as "imagenet".

    Raises:
        ValueError: the decoder or the encoder is unknown, the two cannot be combined, or the
            encoder has no such option.
        OSError: the weights cannot be downloaded.
    """
    check_counts(num_classes=num_classes, in_channels=in_channels)
    decoder, encoder = split_name(name)
    is_ours = encoder.startswith(PREFIX)
    has_options = dropout is not None or memory_efficient
    if has_options and not is_ours:
        option = "memory_efficient" if dropout is None else f"dropout={dropout}"
        raise ValueError(
            f"{name} has no {option}: leave it out, or choose a DenseNet of this package, such as "
            f"{decoder}:densenet121"
        )
    try:
        network = smp.create_model(
            decoder,
            encoder_name=encoder,
            encoder_weights=None if is_ours else weights,
            in_channels=in_channels,
            classes=num_classes,
        )
    except (KeyError, ValueError, TypeError, AssertionError, RuntimeError) as error:
        reason = " ".join(str(error).strip("'\"").split())[:200]
        raise ValueError(
            f"{name} cannot be built by segmentation-models-pytorch {smp.__version__}: {reason}"
        ) from None
    if has_options:
        network.encoder = DenseNetEncoder(
            name=encoder.removeprefix(PREFIX),
            in_channels=in_channels,
            depth=network.encoder._depth,
            dropout=dropout or 0.0,
            memory_efficient=memory_efficient,
        )
    if is_ours and weights is not None:
        load_public(network.encoder, encoder.removeprefix(PREFIX), weights)
    return AnySize(network, in_channels=in_channels, num_classes=num_classes)


def is_bridged(name: str) -> bool:
    """Whether a name with a colon is DECODER:DENSENET or smp:..., and not MODULE:NAME.

    A known prefix comes first: a module may not be called like a decoder.
    """
    prefix, _, rest = name.partition(":")
    if prefix == "smp" or prefix in smp.MODEL_ARCHITECTURES_MAPPING or not is_own_name(name):
        return True
    return (rest in BUILDERS or rest in smp.encoders.encoders) and not module_exists(prefix)


def split_name(name: str) -> tuple[str, str]:
    """The names of decoder and encoder in segmentation-models-pytorch.

    Raises:
        ValueError: one of them is unknown.
    """
    decoders = sorted(smp.MODEL_ARCHITECTURES_MAPPING)
    library, _, rest = name.partition(":")
    if library == "smp":
        decoder, _, encoder = rest.partition("/")
        if not encoder:
            raise ValueError(
                f"{name!r} is incomplete; expected smp:DECODER/ENCODER, such as smp:unet/resnet34"
            )
        encoders = list(smp.encoders.encoders)
        if encoder.startswith("tu-"):
            encoders.append(encoder)  # timm checks it
    else:
        if library in decoders and rest in smp.encoders.encoders and rest not in BUILDERS:
            raise ValueError(
                f"{rest!r} in {name!r} is an encoder of segmentation-models-pytorch: give "
                f"smp:{library}/{rest}"
            )
        decoder, encoder, encoders = library, rest, list(BUILDERS)
    for what, given, known in (("decoder", decoder, decoders), ("encoder", encoder, encoders)):
        if given not in known:
            close = get_close_matches(given, known, n=3)
            hint = f"expected one of {', '.join(known)}"
            if close:
                hint = f"did you mean {' or '.join(map(repr, close))}?"
            elif what == "encoder" and module_exists(library):
                hint += f"; for a network of your own, give the module {library} another name"
            raise ValueError(f"unknown {what} {given!r} in {name!r}; {hint}")
    return decoder, encoder if library == "smp" else PREFIX + encoder
