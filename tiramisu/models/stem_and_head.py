"""The layers of a DenseNet before its dense blocks (stem) and after them (head)."""

from collections import OrderedDict
from typing import Literal

from torch import nn

from tiramisu.models.arguments import check_choice
from tiramisu.models.blocks import LayerStyle
from tiramisu.models.operators import GlobalAveragePool

Stem = Literal["imagenet", "cifar", "face"]
STEM_STRIDES = {"imagenet": 4, "cifar": 1, "face": 2}
"""The factor by which each stem reduces height and width, rounding up."""

Head = Literal["linear", "mlp", "embedding"]
HEADS = ("linear", "mlp", "embedding", None)


def new_stem(stem: Stem, *, in_channels: int, width: int, style: LayerStyle) -> nn.Sequential:
    """The first layers: (B, in_channels, H, W) -> (B, width, H, W divided by the stem's stride).

    "imagenet" is that of the paper's table 1, "cifar" that of its section 3 (implementation
    details), and "face" that of InsightFace, where an image of 112x112 keeps its size until the
    pooling. The names are torchvision's.
    """
    check_choice("stem", stem, STEM_STRIDES)
    conv, norm, max_pool = style.operators.conv, style.operators.norm, style.operators.max_pool
    if stem == "imagenet":
        first = conv(in_channels, width, 7, stride=2, padding=3, bias=style.bias)
    else:
        first = conv(in_channels, width, 3, padding=1, bias=style.bias)
    if stem == "cifar":
        return nn.Sequential(OrderedDict(conv0=first))
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            conv0=first,
            norm0=norm(width, eps=style.eps),
            relu0=style.new_activation(),
            pool0=max_pool(3, stride=2, padding=1),
        )
    )


def new_pool(head: Head | None, *, width: int, style: LayerStyle) -> nn.Sequential:
    """Activation and average over all pixels: (B, width, H, W) -> (B, width).

    For an embedding, another BN and activation stand between them (output "E" of InsightFace).
    """
    layers = OrderedDict[str, nn.Module](relu=style.new_activation())
    if head == "embedding":
        layers["norm"] = style.operators.norm(width, eps=style.eps)
        layers["relu2"] = style.new_activation()
    layers["average"] = GlobalAveragePool(dims=style.dims)
    return nn.Sequential(layers)


def new_head(head: Head | None, *, width: int, num_classes: int, style: LayerStyle) -> nn.Module:
    """From pooled features to logits or an embedding: (B, width) -> (B, num_classes)."""
    check_choice("head", head, HEADS)
    match head:
        case "linear":
            return nn.Linear(width, num_classes)
        case "mlp":
            return nn.Sequential(
                OrderedDict[str, nn.Module](
                    hidden=nn.Linear(width, width // 2),
                    relu=style.new_activation(),
                    dropout=style.new_dropout(),
                    logits=nn.Linear(width // 2, num_classes),
                )
            )
        case "embedding":
            return nn.Sequential(
                OrderedDict[str, nn.Module](
                    linear=nn.Linear(width, num_classes),
                    norm=nn.BatchNorm1d(num_classes, eps=style.eps),
                )
            )
        case None:
            return nn.Identity()
