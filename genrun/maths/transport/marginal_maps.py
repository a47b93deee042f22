"""Maps of the real line that carry one distribution to another, many at a time: row s of a matrix is the s-th one-dimensional problem."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Extrapolate = Literal["clamp", "linear", "free"]

TAIL = 7  # knots at each end of a monotone map, each with half the mass of the one before
SMALL = 2**16  # values that are sorted by one thread


def sort_rows(values: Tensor) -> Tensor:
    """Sort each row of (S, M). On the CPU by numpy, whose sort of floats uses vector instructions; the rows are shared among threads."""
    if values.device.type != "cpu":
        return values.sort(1).values
    result = values.detach().clone(memory_format=torch.contiguous_format)
    rows, threads = result.numpy(), min(torch.get_num_threads(), len(result))
    if threads < 2 or result.numel() < SMALL:
        rows.sort(1)
    else:
        list(_pool(os.getpid(), threads).map(lambda part: part.sort(1), np.array_split(rows, threads)))
    return result


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Return the threads that sort in a process; a forked process has its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix="sort")


def at_ranks(ordered: Tensor, ranks: Tensor) -> Tensor:
    """Return values between the sorted ones: (S, N), ranks (K,) from 0 to N - 1 → (S, K), linear in between."""
    below = ranks.floor().long().clamp_(0, ordered.shape[1] - 1)
    above = (below + 1).clamp_(max=ordered.shape[1] - 1)
    return torch.lerp(ordered.index_select(1, below), ordered.index_select(1, above), (ranks - below).to(ordered))


class MarginalMap:
    """A family of maps of the real line, fitted to carry one set of values to another.

    The parameters of S maps are a tensor (S, P). Outside the range of the values that a map was fitted to, its support, the map is

        constant                        `clamp`
        a line of slope 1               `linear`
        what its formula says           `free`; the same as `linear` where the formula ends at the support
    """

    monotone = False
    spread = 1  # how many values, about, the fit needs at a time for each value

    def check(self, particles: int, targets: int) -> None:
        """Check that these numbers of values are enough.

        Raises:
            ValueError: they are too few.
        """

    def fit(self, x: Tensor, y: Tensor) -> Tensor:
        """Fit S maps that carry the values x (S, M) to the distributions of y (S, N): parameters (S, P)."""
        raise NotImplementedError

    def __call__(self, parameters: Tensor, x: Tensor, extrapolate: Extrapolate = "clamp") -> Tensor:
        """Map the values x (S, M) with the parameters (S, P): (S, M)."""
        raise NotImplementedError

    def inverse(self, parameters: Tensor, y: Tensor, *, slopes: bool = True) -> tuple[Tensor, Tensor | None]:
        """Return the x (S, M) that monotone maps carry to y (S, M), and the logarithms of dy/dx there, or None without `slopes`."""
        raise NotImplementedError


class Polynomial(MarginalMap):
    r"""The polynomial that is nearest to the sorted targets, in squares, at the sorted values (NOTA, "Core idea").

        min_c  Σ_i (y_(i) - p_c(x_(i)))²,     p_c(x) = Σ_k c_k T_k(t),    t = (2x - lo - hi) / (hi - lo)

    T_k are Chebyshev's polynomials; [lo, hi] is the support, which is kept. A polynomial need not be monotone.

    Parameters of a map: lo, hi, c_0, …, c_degree.

    Args:
        degree: of the polynomial, 1 … 12.
    """

    spread = 4

    def __init__(self, degree: int = 5) -> None:
        if not 1 <= degree <= 12:
            raise ValueError(f"degree: expected 1 to 12, got {degree}")
        self.degree = degree

    def check(self, particles: int, targets: int) -> None:
        if min(particles, targets) <= self.degree:
            raise ValueError(
                f"a polynomial of degree {self.degree} needs at least {self.degree + 1} particles and as many images, "
                f"got {particles} and {targets}"
            )

    def fit(self, x: Tensor, y: Tensor) -> Tensor:
        self.check(x.shape[1], y.shape[1])
        x, y = sort_rows(x), sort_rows(y)
        if x.shape[1] != y.shape[1]:
            middles = (torch.arange(x.shape[1], device=x.device) + 0.5) * (y.shape[1] / x.shape[1]) - 0.5
            y = at_ranks(y, middles.clamp_(0, y.shape[1] - 1))
        lo, hi, centre = x[:, :1], x[:, -1:], y.mean(1, keepdim=True)
        size = self.degree + 1
        both = x.new_empty(len(x), size + 1, x.shape[1])  # the basis, then the targets
        basis = self.basis(self.unit(lo, hi, x), both[:, :size])
        rest = torch.sub(y, centre, out=both[:, size])
        products = (both @ both.mT).double()
        gram, right = products[:, :size, :size], products[:, :size, size:]
        # particles that are all equal determine no more than a constant; a trace of the identity picks the smallest coefficients
        gram.diagonal(dim1=1, dim2=2).add_((1e-9 if x.dtype == torch.float32 else 1e-14) * x.shape[1])
        factor, info = torch.linalg.cholesky_ex(gram)
        c = torch.cholesky_solve(right, factor)
        # once more with what is left, because the products are rounded
        rest = torch.baddbmm(rest.unsqueeze(1), c.mT.to(x), basis, alpha=-1)
        c += torch.cholesky_solve((basis * rest).sum(2, keepdim=True).double(), factor)
        c = c.squeeze(2).to(x)
        c[:, :1] += centre
        parameters = torch.cat([lo, hi, c], 1)
        diagonal = factor.diagonal(dim1=1, dim2=2)
        lost = (info > 0) | (diagonal.amin(1) < 1e-3 * diagonal.amax(1))  # a few values far out decide the high degrees
        if x.dtype == torch.float32 and lost.any():
            parameters[lost] = self.fit(x[lost].double(), y[lost].double()).to(x)
        return parameters

    @staticmethod
    def unit(lo: Tensor, hi: Tensor, x: Tensor) -> Tensor:
        """Return t, which is -1 at lo and 1 at hi; 0 where they are equal."""
        width = hi - lo
        scale = torch.where(width > 0, 2 / width, 0)
        return torch.addcmul(-scale * ((lo + hi) / 2), x, scale)

    @staticmethod
    def basis(t: Tensor, out: Tensor) -> Tensor:
        """Write T_0(t), …, T_degree(t) to `out`, and return it: (S, M) → (S, degree + 1, M)."""
        out[:, 0], out[:, 1] = 1, t
        for k in range(2, out.shape[1]):
            torch.mul(t, out[:, k - 1], out=out[:, k]).mul_(2).sub_(out[:, k - 2])
        return out

    def __call__(self, parameters: Tensor, x: Tensor, extrapolate: Extrapolate = "clamp") -> Tensor:
        lo, hi, c = parameters[:, :1], parameters[:, 1:2], parameters[:, 2:]
        t = self.unit(lo, hi, x)
        inside = t if extrapolate == "free" else t.clamp(-1, 1)
        result = self.clenshaw(c, inside)
        if extrapolate == "linear":
            result += x - torch.minimum(torch.maximum(x, lo), hi)
        return result

    @staticmethod
    def clenshaw(c: Tensor, t: Tensor) -> Tensor:
        """Return Σ_k c_k T_k(t) by Clenshaw's recurrence b_k = c_k + 2 t b_(k+1) - b_(k+2)."""
        after, last = torch.zeros_like(t), c[:, -1:].expand_as(t)
        for k in range(c.shape[1] - 2, 0, -1):
            last, after = torch.addcmul(c[:, k : k + 1] - after, t, last, value=2), last
        return torch.addcmul(c[:, :1] - after, t, last)


class Monotone(MarginalMap):
    r"""A monotone rational-quadratic spline through quantiles of both distributions.

    Between the knots (x_k, y_k) and (x_(k+1), y_(k+1)), with θ = (x - x_k) / w, w = x_(k+1) - x_k, h = y_(k+1) - y_k, s = h / w:

        y = y_k + h (s θ² + d_k θ(1-θ)) / (s + (d_k + d_(k+1) - 2s) θ(1-θ))

    It is increasing and has a continuous slope, d_k at knot k: the harmonic mean of the secants on both sides. The knots have equal
    mass between them; seven more at each end halve the mass again and again, and the last is the outermost value.

    Parameters of a map: x_0, …, x_(K-1), y_0, …, y_(K-1).

    Args:
        knots: number of knots of equal mass, at least 2; the ends add a few.

    References:
        Gregory and Delbourgo, Piecewise rational quadratic interpolation to monotonic data, 1982.
        Durkan et al., Neural spline flows, 2019 (the inverse).
    """

    monotone = True

    def __init__(self, knots: int = 200) -> None:
        if not 2 <= knots <= 4096:
            raise ValueError(f"knots: expected 2 to 4096, got {knots}")
        self.knots = knots

    def check(self, particles: int, targets: int) -> None:
        if min(particles, targets) < 2:
            raise ValueError(f"a monotone map needs at least 2 particles and 2 images, got {particles} and {targets}")

    def probabilities(self) -> Tensor:
        """Return the masses below the knots: increasing, from 0 to 1, float64."""
        middle = (torch.arange(self.knots, dtype=torch.float64) + 0.5) / self.knots
        tail = middle[0] * 0.5 ** torch.arange(TAIL, 0, -1, dtype=torch.float64)
        ends = torch.cat([torch.zeros(1, dtype=torch.float64), tail])
        return torch.cat([ends, middle, 1 - ends.flip(0)])

    def fit(self, x: Tensor, y: Tensor) -> Tensor:
        self.check(x.shape[1], y.shape[1])
        probabilities = self.probabilities().to(x.device)
        ends = [at_ranks(sort_rows(values), probabilities * (values.shape[1] - 1)) for values in (x, y)]
        return torch.cat([self.increasing(knots) for knots in ends], 1)

    @staticmethod
    def increasing(knots: Tensor) -> Tensor:
        """Move knots (S, K) that are equal, or nearly, a little apart."""
        precision = torch.finfo(knots.dtype).eps
        size = knots.abs().amax(1, keepdim=True) + 1e-3  # an axis on which all values are 0 has steps too
        step = 4 * precision * size
        places = torch.arange(knots.shape[1], device=knots.device, dtype=knots.dtype)
        return (knots - step * places).cummax(1).values + step * places

    def pieces(self, parameters: Tensor) -> tuple[Tensor, ...]:
        """Return x and y of the knots, (S, K) each, and per piece (S, K-1) 1/w, h, s, d_k and d_k + d_(k+1) - 2s."""
        x, y = parameters.chunk(2, 1)
        w, h = x.diff(dim=1), y.diff(dim=1)
        s = h / w
        d = torch.cat([s[:, :1], (w[:, 1:] + w[:, :-1]) / (w[:, 1:] / s[:, 1:] + w[:, :-1] / s[:, :-1]), s[:, -1:]], 1)
        return x, y, 1 / w, h, s, d[:, :-1], d[:, :-1] + d[:, 1:] - 2 * s

    def __call__(self, parameters: Tensor, x: Tensor, extrapolate: Extrapolate = "clamp") -> Tensor:
        return self.mapped(parameters, x, extrapolate)[0]

    def mapped(
        self, parameters: Tensor, x: Tensor, extrapolate: Extrapolate, slopes: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Map x (S, M); return the values, and the logarithms of the slopes there if they are asked for."""
        knots, y, *pieces = self.pieces(parameters)
        inside = torch.minimum(torch.maximum(x, knots[:, :1]), knots[:, -1:])
        index = piece_of(knots, inside)
        x_k, y_k, per_w, h, s, d, c = (at_pieces(one, index) for one in (knots[:, :-1], y[:, :-1], *pieces))
        theta = (inside - x_k).mul_(per_w).clamp_(0, 1)
        both = torch.addcmul(theta, theta, theta, value=-1)  # θ(1-θ)
        below = torch.addcmul(s, c, both)
        result = torch.addcmul(y_k, h, (d * both + s * theta * theta) / below)
        if extrapolate != "clamp":
            result += x - inside
        return result, torch.where(inside == x, self.log_slope(theta, s, d, c), 0) if slopes else None

    @staticmethod
    def log_slope(theta: Tensor, s: Tensor, d: Tensor, c: Tensor) -> Tensor:
        """Return log dy/dx = log s² (d_(k+1) θ² + 2s θ(1-θ) + d_k (1-θ)²) / (s + c θ(1-θ))²."""
        above = (c * theta + 2 * (s - d)) * theta + d
        return 2 * (s / torch.addcmul(s, c, theta * (1 - theta))).log() + above.log()

    def inverse(self, parameters: Tensor, y: Tensor, *, slopes: bool = True) -> tuple[Tensor, Tensor | None]:
        """Return the x (S, M) that the maps carry to y (S, M), and the logarithms of the slopes dy/dx there, or None without `slopes`.

        The tails are straight lines. Let v = y - y_k. Then θ solves (h (s - d_k) + v c) θ² + (h d_k - v c) θ - s v = 0.
        """
        x, knots, *pieces = self.pieces(parameters)
        inside = torch.minimum(torch.maximum(y, knots[:, :1]), knots[:, -1:])
        index = piece_of(knots, inside)
        x_k, y_k, per_w, h, s, d, c = (at_pieces(one, index) for one in (x[:, :-1], knots[:, :-1], *pieces))
        v = inside - y_k
        first, second = h * (s - d) + v * c, h * d - v * c
        root = (second.square() + 4 * first * s * v).clamp_min_(0).sqrt_()
        theta = (2 * s * v / (second + root)).clamp_(0, 1)
        log_slopes = torch.where(inside == y, self.log_slope(theta, s, d, c), 0) if slopes else None
        return torch.addcmul(x_k, theta, 1 / per_w) + (y - inside), log_slopes


def piece_of(knots: Tensor, x: Tensor) -> Tensor:
    """Return the piece in which each value lies, counted through all rows: knots (S, K), x (S, M) within them → (S, M) int32.

    A binary search in which all values take each step together, several times as fast as `torch.searchsorted` here.
    """
    S, K = knots.shape
    pieces, levels = K - 1, max(1, math.ceil(math.log2(K - 1)))
    padded = knots.new_full((S, 2**levels), math.inf)
    padded[:, :pieces] = knots[:, :-1]
    rows = torch.arange(S, device=x.device, dtype=torch.int32).unsqueeze(1)
    index, padded = (rows << levels).expand_as(x).contiguous(), padded.flatten()
    for level in reversed(range(levels)):
        step = 1 << level
        index.add_(padded.index_select(0, (index + step).view(-1)).view_as(x) <= x, alpha=step)
    return index - rows * ((1 << levels) - pieces)


def at_pieces(table: Tensor, index: Tensor) -> Tensor:
    """Return the values of a table (S, K-1) at the pieces that `piece_of` found: (S, M)."""
    return table.flatten().index_select(0, index.view(-1)).view_as(index)
