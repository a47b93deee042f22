"""Adam for the rows of a table, when each step visits only a few rows."""

from __future__ import annotations

import torch
from torch import Tensor


class RowAdam:
    r"""Adam with moments of its own for each row of a table (Kingma & Ba, 2015); they change only when the row is visited.

        m ← β₁m + (1 - β₁)g,   v ← β₂v + (1 - β₂)g²,   step = m/(1 - β₁ᵗ) / (√(v/(1 - β₂ᵗ)) + ε)

    where t counts the visits of this row.

    Args:
        rows, size: shape (N, D) of the table.
        beta1, beta2, epsilon: β₁, β₂, ε.
    """

    def __init__(self, rows: int, size: int, beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 1e-8) -> None:
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.state = [torch.zeros(rows, width) for width in (size, size, 1)]  # m, v, t

    def to(self, like: Tensor) -> None:
        """Move the moments to the device and type of a tensor."""
        self.state = [moment.to(like) for moment in self.state]

    def step(self, index: Tensor, gradient: Tensor) -> Tensor:
        """Visit the rows `index` (B,), each at most once, with their gradient (B, D); return the step to subtract, (B, D)."""
        m, v, t = (moment[index] for moment in self.state)
        m, v, t = m.lerp(gradient, 1 - self.beta1), v.lerp(gradient.square(), 1 - self.beta2), t + 1
        for moment, value in zip(self.state, (m, v, t), strict=True):
            moment[index] = value
        return (m / (1 - self.beta1**t)) / ((v / (1 - self.beta2**t)).sqrt() + self.epsilon)
