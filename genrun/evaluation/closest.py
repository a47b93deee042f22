"""Find the closest candidates of some images by squared error and by structural similarity. The search is exact.

The candidates come in chunks, so images that a method makes, such as reconstructions, need not all be in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from genrun.evaluation.metrics.neighbours import squared_distances
from genrun.maths.ssim import C1, C2, band, windowed

Distance = Callable[[Tensor], Tensor]  # candidates (m, …) → their distances to n queries, (n, m)

COLUMNS = 128  # candidates in a tile of the search by structural similarity
TILE = 2**18  # windows in such a tile: what the second matrix product makes, 1 MiB, stays in the cache


def closest(
    distances: Sequence[Distance], candidates: Iterable[Tensor], k: int, *, own: Tensor | None = None
) -> list[Tensor]:
    """Return, for each distance, the indices of the k candidates that are closest to each query.

    Args:
        distances: each takes a chunk of candidates (m, …) to their distances to the n queries, (n, m).
        candidates: chunks; an index counts the candidates through all of them.
        own: (n,) index of each query among the candidates, which is not its own match; a second copy of it is one.

    Returns:
        (n, k) int64 for each distance, the closest first, on the CPU; fewer columns if there are fewer candidates.
    """
    least: list[Tensor | None] = [None] * len(distances)  # (n, ≤ k) each
    index: list[Tensor | None] = [None] * len(distances)
    first = 0
    for chunk in candidates:
        places = torch.arange(first, first + len(chunk), device=chunk.device)
        for which, distance in enumerate(distances):
            found = distance(chunk)  # (n, m)
            if own is not None:
                found = found.masked_fill(own.to(places.device)[:, None] == places, torch.inf)
            where = places.expand(len(found), -1)
            if least[which] is not None:
                found, where = torch.cat([least[which], found], 1), torch.cat([index[which], where], 1)
            least[which], at = found.topk(min(k, found.shape[1]), dim=1, largest=False)
            index[which] = where.gather(1, at)
        first += len(chunk)
    if own is not None:  # of k candidates or fewer, one is the query itself
        index = [one[:, : min(k, first - 1)] for one in index]
    return [one.cpu() for one in index]


class SquaredError:
    """Σ_i (x_i - y_i)² of queries x and candidates y, by |x|² + |y|² - 2 x·y in 64 bits.

    Args:
        queries: (n, …), images, codes or features.
    """

    def __init__(self, queries: Tensor) -> None:
        self.queries = queries.flatten(1)

    def __call__(self, candidates: Tensor) -> Tensor:
        """Return the squared errors (n, m) of candidates (m, …)."""
        return torch.cat([block for _, block in squared_distances(self.queries, candidates.flatten(1))])


class StructuralDissimilarity:
    """1 - SSIM(x, y) of queries x and candidates y, with the windows of `genrun.maths.ssim.structural_similarity`.

    The windows' means of x, x², y and y² are computed once for each image. Only those of x y depend on the pair. With W the
    matrix that takes a row of pixels to its windows' means, they are

        M_xy = W (x ∘ y) Wᵀ = W Z,   where row h of Z is  y_h (W diag(x_h))ᵀ.

    So no product of two images is formed: the matrices W diag(x_h) of a few queries, multiplied by the rows y_h of many
    candidates, give Z of all these pairs. The pairs are taken in tiles that fit the processor's cache, and the arithmetic on a tile
    is in place, because as much time goes into memory as into the matrix products.

    Args:
        queries: (n, C, H, W) in [0, 1].
    """

    def __init__(self, queries: Tensor) -> None:
        self.queries = queries.float()
        self.moments = moments(self.queries)  # (n, C, h, w) each
        (height, width), (down, across) = queries.shape[2:], self.moments[0].shape[2:]
        side = height - down + 1
        self.down, self.across = (band(size, side, torch.float32, queries.device) for size in (height, width))
        windows = queries.shape[1] * down * across
        self.columns = max(1, min(COLUMNS, TILE // windows))
        self.rows = max(1, TILE // (windows * self.columns))

    def __call__(self, candidates: Tensor) -> Tensor:
        """Return the dissimilarities (n, m) of candidates (m, C, H, W) in [0, 1]."""
        similarities = candidates.new_empty(len(self.queries), len(candidates), dtype=torch.float32)

        @torch.no_grad()  # a thread has its own setting
        def fill(left: int) -> None:
            y = candidates[left : left + self.columns].float()
            # candidates last, so that each matrix product has many columns
            of_y = [one.permute(1, 2, 3, 0).unsqueeze(2).contiguous() for one in moments(y)]  # (C, h, 1, w, m) each
            rows = y.permute(1, 2, 3, 0).contiguous()  # (C, H, W, m)
            for top in range(0, len(self.queries), self.rows):
                tile = slice(top, top + self.rows)
                similarities[tile, left : left + len(y)] = self.tile(tile, rows, *of_y)

        starts = range(0, len(candidates), self.columns)
        threads = torch.get_num_threads()
        if threads == 1 or len(starts) == 1 or candidates.device.type != "cpu":
            for left in starts:
                fill(left)
            return 1 - similarities
        # a thread for each strip of tiles: to share one small tile would cost more than it saves
        torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(fill, starts))
        finally:
            torch.set_num_threads(threads)
        return 1 - similarities

    def tile(self, tile: slice, rows: Tensor, mean_y: Tensor, squared_mean_y: Tensor, variance_y: Tensor) -> Tensor:
        """Return the similarities of some queries to candidates, given as their rows and moments: (n, m).

        This is (13) of `genrun.maths.ssim.structural_similarity`, a factor after the other.
        """
        x = self.queries[tile].permute(1, 2, 0, 3)  # (C, H, n, W)
        channels, height, n, _ = x.shape
        weighted = (x[:, :, :, None] * self.across).flatten(2, 3)  # (C, H, n·w, W): W diag(x_h)
        z = weighted @ rows  # (C, H, n·w, m)
        made = self.down @ z.view(channels, height, -1)  # (C, h, n·w·m), the means of x y
        made = made.view(channels, -1, n, len(self.across), rows.shape[3])
        mean_x, squared_mean_x, variance_x = (one[tile].permute(1, 2, 0, 3)[..., None] for one in self.moments)
        factor = mean_x * mean_y
        made.sub_(factor).add_(C2 / 2)  # σ_xy + c₂/2
        made.mul_(factor.add_(C1 / 2))
        made.div_(torch.add(squared_mean_x + C1, squared_mean_y, out=factor))
        made.div_(torch.add(variance_x + C2, variance_y, out=factor))
        # the channels and rows first: a mean over dimensions that are not neighbours is slow
        return 4 * made.flatten(0, 1).mean(0).mean(1)


def moments(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the windows' means, the squares of these means, and the variances of images (n, C, H, W): (n, C, h, w) each."""
    mean, square = windowed(torch.stack([images, images.square()]))
    squared_mean = mean.square()
    return mean, squared_mean, square - squared_mean
