"""Muon, orthogonalised momentum for convolution kernels, and Adam for all other weights, in one optimiser.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); the factor by which Adam's rates carry
over is that of Liu et al., "Muon is Scalable for LLM Training" (arXiv 2502.16982).

Looked at, and why neither serves:
- `torch.optim.Muon` (2.13) takes matrices alone, one after another, in bf16 on a CPU too; a kernel's flat view is no
  weight with a gradient, its functional part is the same loop, other weights need a second optimiser, no `found_inf`.
- `Muon` of pytorch_optimizer (4.1.0) flattens kernels, batches equal shapes and has groups for other weights; but these
  get an Adam of its own, not the fused one, it writes into gradients, computes in bf16 alone and knows no `found_inf`:
  the host would wait for a GPU at every step, to learn whether the step is good.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

NUM_STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of Jordan's quintic, steep at zero: five steps bring singular values from 0.002 up to between 0.68 and 1.21."""

EPSILON = 1e-7
ADAM_RMS = 0.2
"""Root mean square of a weight's update over the learning rate, which is about Adam's."""


def orthogonalise(matrices: Tensor) -> Tensor:
    """Bring all singular values near one by Newton-Schulz steps; the singular vectors stay.

    A step multiplies X by Z = a I + b G + c G² with G = X Xᵀ, and so G by Z on both sides: the steps need no more than
    the small square matrices, in half the time on a CPU. It takes float32: in bf16 G's least eigenvalues explode
    (pytorch_optimizer's `gram_newton_schulz`, whose form this is, begins again after two steps).

    Args:
        matrices: (N, rows, columns) float32.

    Returns:
        (N, rows, columns); a matrix of zeros stays so.
    """
    a, b, c = COEFFICIENTS
    is_tall = matrices.shape[1] > matrices.shape[2]
    X = matrices.mT if is_tall else matrices  # (N, n, m), n <= m
    X = X / X.norm(dim=(1, 2), keepdim=True).clamp_min(EPSILON)
    G = torch.bmm(X, X.mT)  # (N, n, n)
    product = identity = torch.eye(X.shape[1], dtype=X.dtype, device=X.device).expand_as(G)
    for _ in range(NUM_STEPS):
        Z = torch.baddbmm(a * identity + b * G, G, G, alpha=c)
        product = torch.bmm(Z, product)
        G = torch.bmm(torch.bmm(Z, G), Z)
    X = torch.bmm(product, X)
    return X.mT if is_tall else X


def split_parameters(
    model: nn.Module, *, left_out: Sequence[str] = (), linear_in: Sequence[str] = ()
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Tell Muon's weights from Adam's.

    Args:
        model: the whole network.
        left_out: names of modules, without the path that leads to them, whose kernels are Adam's: the encoder, the
            first and the last convolution.
        linear_in: names of modules whose linear layers are Muon's too.

    Returns:
        kernels of the other convolutions, but for depthwise and grouped ones and those of one tap, and the matrices
        asked for; all other weights.
    """
    convs = [
        module
        for path, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and module.groups == 1 and math.prod(module.kernel_size) > 1
        if not set(path.split(".")) & set(left_out)
    ]
    layers = [
        module
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and set(path.split(".")) & set(linear_in)
    ]
    known = {id(module.weight) for module in (*convs, *layers)}
    weights = list(model.parameters())
    return [w for w in weights if id(w) in known], [w for w in weights if id(w) not in known]


class Muon(torch.optim.Optimizer):
    """Muon for kernels, fused Adam for other weights: a group each, and a state dict of both.

    Like a fused Adam it reads `found_inf`, a scalar tensor that may be set before a step: where it is 1 neither weights
    nor averages change, which is decided on the device.

    Args:
        kernels: of convolutions, (out, in, k, k) each, taken as matrices of out rows.
        others: Adam's weights.
        lr: learning rate of both.
        momentum: of Muon, by Nesterov.
        betas: of Adam.
        eps: of Adam.
        weight_decay: added to the gradient for Adam; for kernels, whose updates have no scale, decoupled from it.
    """

    grad_scale: None = None
    found_inf: Tensor | None = None

    def __init__(
        self,
        kernels: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        kernels = list(kernels)
        if not all(kernel.ndim in (2, 4) for kernel in kernels):
            raise ValueError("Muon's weights are matrices and kernels of 2-D convolutions; give the rest as others")
        groups = [{"params": kernels, "is_muon": True}, {"params": list(others), "is_muon": False}]
        defaults = {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        defaults["fused"] = True  # as of Adam: a step reads found_inf, and a loaded `step` stays on the device
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not group["is_muon"]:
                self._step_adam(weights, group)
                continue
            for _, equal in groupby(sorted(weights, key=_kind), key=_kind):
                self._step_kernels(list(equal), group)

    def _step_kernels(self, kernels: list[Tensor], group: dict[str, Any]) -> None:
        """Update kernels of one shape at once."""
        for kernel in kernels:
            if not self.state[kernel]:
                self.state[kernel]["momentum_buffer"] = torch.zeros_like(kernel)
        averages = [self.state[kernel]["momentum_buffer"] for kernel in kernels]
        gradient = torch.stack([kernel.grad for kernel in kernels])  # type: ignore[misc]  # (N, out, in, k, k)
        kept, rate = group["momentum"], group["lr"]
        if self.found_inf is not None:
            is_bad = self.found_inf > 0
            gradient = gradient.where(~is_bad, 0.0)
            kept, rate = torch.where(is_bad, 1.0, kept), torch.where(is_bad, 0.0, rate)
        torch._foreach_mul_(averages, kept)
        torch._foreach_add_(averages, gradient.unbind())
        direction = torch.add(gradient, torch.stack(averages), alpha=group["momentum"]).flatten(2)  # (N, out, in*k*k)
        update = orthogonalise(direction) * (rate * ADAM_RMS * math.sqrt(max(direction.shape[1:])))
        if group["weight_decay"]:
            torch._foreach_mul_(kernels, 1 - rate * group["weight_decay"])
        torch._foreach_sub_(kernels, update.view_as(gradient).unbind())

    def _step_adam(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        for weight in weights:
            if not self.state[weight]:
                self.state[weight] = {
                    "step": torch.zeros((), device=weight.device),
                    "exp_avg": torch.zeros_like(weight),
                    "exp_avg_sq": torch.zeros_like(weight),
                }
        states = [self.state[weight] for weight in weights]
        adam(
            weights,
            [weight.grad for weight in weights],  # type: ignore[misc]
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            found_inf=self.found_inf,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def _kind(kernel: Tensor) -> tuple[Any, ...]:
    return str(kernel.device), tuple(kernel.shape)
