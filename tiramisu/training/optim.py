"""Optimisers and learning-rate schedules."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD, Adam, AdamW, Optimizer

from tiramisu.training.config import TrainConfig

WARMUP_START = 0.01
"""Share of the learning rate at which warm-up starts; a first step at 0 would change nothing."""
ONECYCLE_START, ONECYCLE_RISE = 1 / 25, 0.3
"""Share of the learning rate at which `onecycle` starts, and share of the run in which it rises, as
in torch.optim.lr_scheduler.OneCycleLR."""
LR_STEPS = (0.5, 0.75)
"""Shares of the run after which `steps` divides the learning rate by 10 (DenseNet paper, arXiv
1608.06993, section 4.2)."""


class PaperRMSprop(Optimizer):
    """RMSprop as in Lasagne, which the paper's authors used.

    Epsilon is inside the square root: w <- w - lr * g / sqrt(mean(g^2) + eps). For gradients far
    below sqrt(eps) = 1e-3 this is plain gradient descent, while `torch.optim.RMSprop`, with epsilon
    outside, takes steps of full size.

    Args:
        rho: decay of the running mean of squared gradients, 0 to 1.
        eps: added to that mean.
        weight_decay: share of the weights that is added to the gradient.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float = 1e-3,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            grads = [p.grad for p in params if p.grad is not None]
            for p in params:
                if not self.state[p]:
                    self.state[p]["mean_square"] = torch.zeros_like(p)
            mean_squares = [self.state[p]["mean_square"] for p in params]
            if group["weight_decay"]:
                grads = list(torch._foreach_add(grads, params, alpha=group["weight_decay"]))
            torch._foreach_mul_(mean_squares, group["rho"])
            torch._foreach_addcmul_(mean_squares, grads, grads, 1 - group["rho"])
            roots = torch._foreach_add(mean_squares, group["eps"])
            torch._foreach_sqrt_(roots)
            torch._foreach_addcdiv_(params, grads, roots, -group["lr"])
        return loss


def build_optimizer(network: nn.Module, config: TrainConfig) -> Optimizer:
    """The optimiser of the settings; `split_parameters` says which parameters decay."""
    decayed, plain = split_parameters(network, decay_norms=config.decay_norms)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    match config.optimizer:
        case "rmsprop":
            return PaperRMSprop(groups, lr=config.lr, rho=config.momentum)
        case "sgd":
            # Nesterov momentum of 0 is refused by torch.
            return SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0)
        case "adam":
            return Adam(groups, lr=config.lr, betas=(config.momentum, 0.999))
        case "adamw":
            return AdamW(groups, lr=config.lr, betas=(config.momentum, 0.999))


def split_parameters(
    network: nn.Module, *, decay_norms: bool
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters with weight decay (weights; batch norm's scales if asked for) and all others."""
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for module in network.modules():
        # The slope of a PReLU is named weight, but is not one.
        never = nn.PReLU if decay_norms else (nn.PReLU, _BatchNorm)
        for name, parameter in module.named_parameters(recurse=False):
            decays = name == "weight" and not isinstance(module, never)
            (decayed if decays else plain).append(parameter)
    return decayed, plain


def lr_factor(config: TrainConfig, *, epoch: float, epochs: float) -> float:
    """The learning rate at a point of the run, as a share of its peak, 0 to 1.

    Args:
        config: the schedule and its settings.
        epoch: epochs done so far, with fractions.
        epochs: epochs in all.
    """
    if epoch < config.warmup_epochs:
        return WARMUP_START + (1 - WARMUP_START) * epoch / config.warmup_epochs
    done = min(1.0, (epoch - config.warmup_epochs) / max(epochs - config.warmup_epochs, 1e-9))
    match config.schedule:
        case "constant":
            return 1.0
        case "exponential":
            # The paper multiplies it once per epoch, so it is constant within an epoch.
            return config.lr_decay ** math.floor(epoch + 1e-6)
        case "steps":
            return 0.1 ** sum(done >= share for share in LR_STEPS)
        case "cosine":
            return _cosine(done)
        case "poly":
            return float((1 - done) ** config.poly_power)
        case "onecycle":
            if done < ONECYCLE_RISE:
                return 1 - (1 - ONECYCLE_START) * _cosine(done / ONECYCLE_RISE)
            return _cosine((done - ONECYCLE_RISE) / (1 - ONECYCLE_RISE))


def _cosine(done: float) -> float:
    """Half a cosine: 1 at 0, 0 at 1."""
    return (1 + math.cos(math.pi * done)) / 2
