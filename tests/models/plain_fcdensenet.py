"""FC-DenseNet as the paper's section 3 tells it, written to be read beside the paper.

It shares nothing with the package: no block, no builder, no import. The tests hold the package's
network against it. Speed and memory are no concern here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PlainFCDenseNet(nn.Module):
    """`blocks` lists the layers of all dense blocks: down, bottleneck, up (an odd number)."""

    def __init__(self, blocks: list[int], k: int, stem: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.blocks, self.depth, self.dropout = blocks, len(blocks) // 2, dropout
        self.stem = nn.Conv2d(3, stem, 3, padding=1)
        self.layers, self.downs, self.ups = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.in_order: list[nn.Module] = [self.stem]  # every module with weights, as they are used

        m = stem
        skips = []
        for b, num_layers in enumerate(blocks):
            if b > self.depth:
                new = blocks[b - 1] * k
                self.ups.append(nn.ConvTranspose2d(new, new, 3, stride=2))
                self.in_order.append(self.ups[-1])
                m = new + skips.pop()
            for _ in range(num_layers):
                norm = nn.BatchNorm2d(m, eps=1e-4)
                conv = nn.Conv2d(m, k, 3, padding=1)
                self.layers.append(nn.ModuleList([norm, conv]))
                self.in_order += [norm, conv]
                m += k
            if b < self.depth:
                skips.append(m)
                norm, conv = nn.BatchNorm2d(m, eps=1e-4), nn.Conv2d(m, m, 1)
                self.downs.append(nn.ModuleList([norm, conv]))
                self.in_order += [norm, conv]
        self.classifier = nn.Conv2d(m, classes, 1)
        self.in_order.append(self.classifier)

    def dense_block(self, x: Tensor, b: int) -> tuple[Tensor, Tensor]:
        """Return the whole stack and the new features alone."""
        first = sum(self.blocks[:b])
        new_features = []
        for norm, conv in self.layers[first : first + self.blocks[b]]:
            features = conv(F.relu(norm(torch.cat([x, *new_features], dim=1))))
            new_features.append(F.dropout(features, self.dropout, self.training))
        return torch.cat([x, *new_features], dim=1), torch.cat(new_features, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        skips = []
        for b in range(self.depth):
            x, _ = self.dense_block(x, b)
            skips.append(x)
            norm, conv = self.downs[b]
            x = F.dropout(conv(F.relu(norm(x))), self.dropout, self.training)
            x = F.max_pool2d(x, 2)
        stack, new_features = self.dense_block(x, self.depth)
        for b in range(self.depth + 1, len(self.blocks)):
            up, skip = self.ups[b - self.depth - 1](new_features), skips.pop()
            top, left = (up.shape[2] - skip.shape[2]) // 2, (up.shape[3] - skip.shape[3]) // 2
            up = up[:, :, top : top + skip.shape[2], left : left + skip.shape[3]]
            stack, new_features = self.dense_block(torch.cat([up, skip], dim=1), b)
        return self.classifier(stack)

    def parameters_in_order(self) -> list[nn.Parameter]:
        return [p for module in self.in_order for p in module.parameters()]

    def copy_weights(self, network: nn.Module) -> None:
        """Take over the weights and BN statistics of a network whose modules run in this order."""
        theirs = [
            m for m in network.modules() if next(m.parameters(recurse=False), None) is not None
        ]
        assert [type(m) for m in theirs] == [type(m) for m in self.in_order]
        for mine, other in zip(self.in_order, theirs, strict=True):
            mine.load_state_dict(other.state_dict())
