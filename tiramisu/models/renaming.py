"""Names of layers in state dicts from elsewhere, and what the layers are called here.

torchvision's names are those of this package, and timm's too. `PEERS` is a table of all others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

PEERS: dict[str, dict[str, str]] = {
    "MONAI": {
        r"\b(denselayer\d+)\.layers\.": r"\1.",
        r"^class_layers\.out\.": "classifier.",
    },
    "gpleiss/efficient_densenet_pytorch": {
        r"^features\.norm_final\.": "features.norm5.",
    },
    "andreasveit/densenet-pytorch": {
        r"^trans(\d+)\.bn1\.": r"features.transition\1.norm.",
        r"^trans(\d+)\.conv1\.": r"features.transition\1.conv.",
        r"^block(\d+)\.layer\.(\d+)\.": r"features.denseblock\1.denselayer\2+1.",
        r"^conv1\.": "features.conv0.",
        r"^bn1\.": "features.norm5.",
        r"^fc\.": "classifier.",
        r"\bbn([12])\.": r"norm\1.",
    },
    "bfortuner/pytorch_tiramisu": {
        r"^transUpBlocks\.(\d+)\.convTrans\.": r"decoder.transition\1+1.conv.",
        r"^transDownBlocks\.(\d+)\.": r"features.transition\1+1.",
        r"^denseBlocksDown\.(\d+)\.": r"features.denseblock\1+1.",
        r"^denseBlocksUp\.(\d+)\.": r"decoder.denseblock\1+1.",
        r"^bottleneck\.bottleneck\.": "bottleneck.",
        r"\.layers\.(\d+)\.(norm|conv)\.": r".denselayer\1+1.\g<2>1.",
        r"^firstconv\.": "features.conv0.",
        r"^finalConv\.": "classifier.",
    },
}
"""Whose names they are -> patterns and replacements, applied in this order.

Names are recognised by the first pattern, which no other network has. Where a replacement has +1
after a number, the peer counts from 0, and 1 is added.
"""

PEERS_EPS = 1e-5
"""Epsilon of batch norm in all of these networks; a state dict does not hold it."""

_OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
"""Finds `norm.1.`, the name in torchvision's files of what is `norm1.` today."""

_TRANSITION = re.compile(r"^features\.transition(\d+)\.")

_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.|model\.)*(?:network\.)?(?:encoder\.)?")
"""The prefix of the names of a network that is wrapped or compiled, or the encoder of another."""


def rename_layers(names: Iterable[str]) -> tuple[str | None, dict[str, str]]:
    """Find out what layers of other networks are called in a DenseNet or FC-DenseNet of ours.

    The `bottleneck` of an FC-DenseNet is called like the next dense block of a DenseNet.

    Args:
        names: the names of all layers of one network.

    Returns:
        The key of `PEERS` whose names they are, or None; and each given name with its name here,
        which ends with a full stop.
    """
    ours = {name: _OLD_NAME.sub(r"\1\2", _WRAPPERS.sub("", f"{name}.")) for name in names}
    found = None
    for peer, rules in PEERS.items():
        mark = re.compile(next(iter(rules)))
        if any(mark.search(name) for name in ours.values()):
            found = peer
            for pattern, replacement in rules.items():
                ours = {name: re.sub(pattern, replacement, own) for name, own in ours.items()}
            ours = {name: re.sub(r"(\d+)\+1", _add_one, own) for name, own in ours.items()}
            break
    transitions = {match[1] for name in ours.values() if (match := _TRANSITION.match(name))}
    below = f"features.denseblock{len(transitions) + 1}."
    return found, {name: re.sub(r"^bottleneck\.", below, own) for name, own in ours.items()}


def _add_one(match: re.Match[str]) -> str:
    return str(int(match[1]) + 1)
