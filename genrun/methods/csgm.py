r"""Continuous Space Generative Model: an image is a function of the coordinates of its pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from genrun.maths.learning_rates import rate_share, warm_up
from genrun.maths.mixtures import ClassMixture, Prior
from genrun.maths.row_adam import RowAdam
from genrun.maths.whitening import class_means, whitened
from genrun.methods.code_prior import CodePriorMethod
from genrun.nn.mlp import MLP, Init, pixel_centres
from genrun.types import Batch

Ramp = Literal["visit", "training", "contrast"]
Sampler = Literal["prior", "algorithm2"]

PIXELS_AT_ONCE = 2**16  # decoded together: more does not fit the processor's caches


class CSGM(CodePriorMethod):
    r"""CSGM ("Continuous Space Generative Model", chapter 3).

    One multilayer perceptron maps a class, a code and a place to a score and the value of the image there:

        (S, L, A) ↦ (d, g)                                                     (figure 3.1)

    S is the one-hot class, L the code of one image, A = (p, q) the coordinates of a pixel in [-1, 1]², d how near L is to the
    manifold of the data, g the channel values at A. Each training image i keeps a code L_i, which learns with the weights:

        E = ½ Σ |(m, x_A) - CSGM(S, L, A)|²                                     (3.2)
        w ← w - η ∂E/∂w                                                         (3.3)
        L ← L - η_L ∂E/∂L, the gradient taken at the weights before (3.3)        (3.4)

    (The document's "+η∇" takes the step η(target - output)·∂output, which is the same.) A step visits many images and P random
    pixels of each; one image and one pixel is Algorithm 1 exactly.

    Args:
        image_shape: (C, H, W).
        num_classes: length of S; 0 leaves S empty.
        train_size: N, the number of codes that are kept.
        optimizer: takes the weights; its rate is η, of the gradient summed over the B·P pixels of a step.
        code_rate: η_L, of each code's gradient summed over its own P pixels.
        code_adam: move codes by Adam, each with moments of its own that change only when its image is visited; False: by (3.4).
        code_size: D, the length of L.
        code_noise: σ; codes are seen as L + σε, ε ~ N(0, I), while training. None: 18/√N, at most a half: codes of few images must be wide.
        hidden: widths between input and output.
        pixels: P, random pixels of each image in a step.
        visit_steps: steps of one visit to a batch of images (N of Algorithm 1).
        ramp: the target m of d. `visit`: n/N in step n of the N steps of a visit (Algorithm 1); `training`: from 0 to 1 once over
            the training (the prose); `contrast`: 1 on the stored codes and 0 on fresh ones from N(0, I).
        d_weight: weight of d's error beside g's.
        fresh_pixels: pixels at which a fresh code is looked at (`contrast`); they count as much as the P of a stored one.
        whiten: whenever all images were visited, give the codes zero mean in each class and unit covariance, see `whiten_codes`.
        schedule: of both rates. `cosine`: to zero over the budget after a warm-up of its first 2 % (weights only); `constant`.
        leaky_output: an activation behind the output, as the document counts its layers.
        init: of the network, see `MLP`.
        place_scale: factor on the initial weights of A: a function of two inputs that is to vary within pixels starts steep.
        code_scale: factor on the initial weights of L: codes start as noise, and grow into the network.
        sampler: `algorithm2`, or `prior`: codes from a distribution fitted to the stored codes of each class.
        prior: makes it from (classes, code_size).
        mean_of: K of Algorithm 2.
        refine_steps: N of Algorithm 2.
        refine_rate: η of Algorithm 2, of the gradient averaged over the pixels looked at.
        refine_pixels: pixels that a step of Algorithm 2 looks at, the same for all codes (1 in its line 4).
        refine_order: they are `random` ones (its line 4), or all in `raster` order.
        encode_steps: steps of Adam that fit a code to an unseen image.

    References:
        "Continuous Space Generative Model", algorithms 1 and 2.
        Bojanowski et al., Optimizing the latent space of generative networks, 2018 (codes that learn with the weights).
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        train_size: int,
        optimizer: Callable[..., torch.optim.Optimizer],
        code_rate: float,
        prior: Callable[[int, int], Prior] = ClassMixture,
        code_adam: bool = True,
        code_size: int = 20,
        code_noise: float | None = None,
        hidden: Sequence[int] = (300, 150, 100, 50),
        pixels: int = 16,
        visit_steps: int = 1,
        ramp: Ramp = "contrast",
        d_weight: float = 1.0,
        fresh_pixels: int = 2,
        whiten: bool = True,
        schedule: Literal["cosine", "constant"] = "cosine",
        leaky_output: bool = False,
        init: Init = "he",
        place_scale: float = 1.0,
        code_scale: float = 1.0,
        sampler: Sampler = "prior",
        mean_of: int = 2,
        refine_steps: int = 20,
        refine_rate: float = 1.0,
        refine_pixels: int = 16,
        refine_order: Literal["random", "raster"] = "random",
        encode_steps: int = 100,
    ) -> None:
        super().__init__(image_shape, num_classes)
        counts = {"code_size": code_size, "pixels": pixels, "visit_steps": visit_steps, "fresh_pixels": fresh_pixels}
        counts |= {"mean_of": mean_of, "refine_pixels": refine_pixels, "encode_steps": encode_steps}
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"model.{name}: expected at least 1, got {count}")
        if refine_steps < 0 or (code_noise is not None and not 0 <= code_noise < 1):
            raise ValueError(
                f"expected model.refine_steps ≥ 0 and 0 ≤ model.code_noise < 1, got {refine_steps} and {code_noise}"
            )
        self.automatic_optimization = False  # two rates, and a visit is several steps
        self.optimizer = optimizer
        self.code_rate, self.code_adam = code_rate, code_adam
        self.code_noise = min(0.5, 18 / train_size**0.5) if code_noise is None else code_noise
        self.pixels, self.visit_steps = pixels, visit_steps
        self.steps_per_batch = visit_steps
        self.ramp, self.d_weight, self.fresh_pixels = ramp, d_weight, fresh_pixels
        self.whiten, self.schedule = whiten, schedule
        self.sampler, self.mean_of = sampler, mean_of
        self.refine_steps, self.refine_rate = refine_steps, refine_rate
        self.refine_pixels, self.refine_order = refine_pixels, refine_order
        self.encode_steps = encode_steps
        self.network = MLP(
            (num_classes + code_size + 2, *hidden, 1 + self.image_shape[0]), leaky_output=leaky_output, init=init
        )
        with torch.no_grad():
            self.network[0].weight[:, num_classes : num_classes + code_size] *= code_scale
            self.network[0].weight[:, -2:] *= place_scale
        self.register_buffer("codes", torch.randn(train_size, code_size))  # L_i ~ N(0, I)
        self.register_buffer("labels", torch.zeros(train_size, dtype=torch.long))
        self.register_buffer("places", pixel_centres(self.image_shape[1:]), persistent=False)  # (H·W, 2)
        self.prior = prior(max(1, num_classes), code_size)
        self.visited = 0  # images since the codes were whitened
        self.code_moments = RowAdam(train_size, code_size)

    # ------------------------------------------------------------------------------------------ the network, figure 3.1

    def forward(self, codes: Tensor, labels: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Feedforward(A, L, S) of n codes at P places each.

        Args:
            codes: (n, D).
            labels: (n,) int64, not looked at when unconditional.
            places: (P, 2) the same for all, or (n, P, 2).

        Returns:
            d (n, P) and g (n, P, C).
        """
        of_image = torch.cat([F.one_hot(labels, self.num_classes).to(codes), codes], 1) if self.num_classes else codes
        many = len(codes), places.shape[-2], -1
        out = self.network(torch.cat([of_image.unsqueeze(1).expand(many), places.expand(many)], 2))
        return out[..., 0], out[..., 1:]

    # ------------------------------------------------------------------------------------------ algorithm 1, training

    def training_step(self, batch: Batch, _: int) -> None:
        self.labels[batch.index] = batch.label
        pixels = batch.image.flatten(2).transpose(1, 2)  # (B, H·W, C)
        optimizer = self.optimizers()
        for n in range(self.visit_steps):
            at = torch.randint(len(self.places), (len(pixels), self.pixels), device=self.device)  # <p, q>, (B, P)
            target = pixels.gather(1, at.unsqueeze(2).expand(-1, -1, pixels.shape[2]))
            codes = self.codes[batch.index].requires_grad_()  # (B, D)
            seen = codes + self.code_noise * torch.randn_like(codes) if self.code_noise else codes
            d, g = self(seen, batch.label, self.places[at])
            error_d = (self.target_of_d(n) - d).square().sum()
            if self.ramp == "contrast":
                error_d = error_d + self.error_on_fresh_codes(batch.label)
            error_g = (target - g).square().sum()
            weight_share, code_share = self.rate_shares()
            self.set_rates(optimizer, weight_share)
            optimizer.zero_grad()
            self.manual_backward(
                (self.d_weight * error_d + error_g) / 2
            )  # one pass: both gradients at the same weights
            optimizer.step()  # (3.3)
            self.move_codes(batch.index, codes.grad, code_share * self.code_rate)  # (3.4)
            self.track(d=error_d / d.numel(), g=error_g / g.numel())
        self.visited += len(batch.index)
        if self.whiten and self.visited >= len(self.codes):
            self.whiten_codes()
            self.visited = 0

    def error_on_fresh_codes(self, labels: Tensor) -> Tensor:
        """Squared error of d against 0 on codes from N(0, I), at few pixels that are weighted as P of them."""
        codes = torch.randn(len(labels), self.codes.shape[1], device=self.device, dtype=self.codes.dtype)
        at = torch.randint(len(self.places), (len(labels), self.fresh_pixels), device=self.device)
        return self(codes, labels, self.places[at])[0].square().sum() * (self.pixels / self.fresh_pixels)

    def target_of_d(self, n: int) -> float:
        """m in step n of a visit."""
        if self.ramp == "visit":
            return n / self.visit_steps
        return self.progress() if self.ramp == "training" else 1.0

    def rate_shares(self) -> tuple[float, float]:
        """The share of their rates at which weights and codes learn now."""
        if self.schedule == "constant":
            return 1.0, 1.0
        done = self.progress()
        share = rate_share(self.schedule, done)
        return share * warm_up(done), share

    @torch.no_grad()
    def move_codes(self, index: Tensor, gradient: Tensor, rate: float) -> None:
        """A step of the codes (B,) that were visited, against their gradient (B, D)."""
        step = self.code_moments.step(index, gradient) if self.code_adam else gradient
        self.codes.index_add_(0, index, step, alpha=-rate)

    @torch.no_grad()
    def whiten_codes(self) -> None:
        """Give codes zero mean in each class and covariance (1 - σ²)I within classes, without changing what they decode to.

        The first layer is linear in S and L. With the mean μ_y of a class, C the covariance of L - μ_y over all classes and A = C^½:

            L' = A⁻¹(L - μ_y),   W_L' = W_L A,   W_S' = W_S + W_L μ

        so W_S'S + W_L'L' = W_S S + W_L L; the moments of the optimizers are left as they are. Seen with their noise σ the codes then have
        the moments of N(0, I), from which Algorithm 2 starts, and d has to learn what else distinguishes them.
        """
        first, width = self.network[0], self.num_classes
        labels = self.labels if width else torch.zeros_like(self.labels)
        codes, mean, root = whitened(self.codes, labels, max(1, width), variance=1 - self.code_noise**2)
        of_code = first.weight[:, width:-2].clone()  # W_L
        if width:
            first.weight[:, :width] += of_code @ mean.T
        else:
            first.bias += of_code @ mean[0]
        first.weight[:, width:-2] = of_code @ root
        self.codes.copy_(codes)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.network.parameters())

    def on_fit_start(self) -> None:
        self.code_moments.to(self.codes)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["codes"] = {"moments": self.code_moments.state, "visited": self.visited}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.code_moments.state, self.visited = checkpoint["codes"]["moments"], checkpoint["codes"]["visited"]

    def budget_dependence(self) -> str | None:
        if self.ramp == "training":
            return "model.ramp=training rises over the whole budget"
        return super().budget_dependence()

    # ------------------------------------------------------------------------------------------ algorithm 2, generation

    def sample_at(
        self,
        n: int,
        resolution: int,
        labels: Tensor | None = None,
        *,
        window: tuple[int, int, int, int] | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """As `sample`, at any resolution: (n, C, resolution, resolution), or a window (top, left, height, width) of it."""
        self.check_labels(n, labels)
        top, left, height, width = window or (0, 0, resolution, resolution)
        places = pixel_centres(resolution).view(resolution, resolution, 2)[top : top + height, left : left + width]
        return self.raster(self.draw_codes(n, labels, generator), labels, places.to(self.places))

    def draw_codes(self, n: int, labels: Tensor | None, generator: Generator | None) -> Tensor:
        """Codes of new images by `sampler`: (n, D)."""
        if self.sampler == "prior":
            return super().draw_codes(n, labels, generator)
        labels = self.labels.new_zeros(n) if labels is None else labels
        shape = n * self.mean_of, self.codes.shape[1]
        codes = torch.randn(shape, generator=generator, device=self.device, dtype=self.codes.dtype)
        refined = self.refine(codes, labels.repeat_interleave(self.mean_of), generator)
        return refined.unflatten(0, (n, self.mean_of)).mean(1)  # L_avg

    def refine(self, codes: Tensor, labels: Tensor, generator: Generator | None = None) -> Tensor:
        """Lines 3 to 8 of Algorithm 2: descend ½(1 - d)² in L with the weights fixed; (n, D) → (n, D)."""
        for _ in range(self.refine_steps):
            places = self.places
            if self.refine_order == "random":
                places = places[
                    torch.randint(len(places), (self.refine_pixels,), generator=generator, device=self.device)
                ]
            with torch.enable_grad():
                codes = codes.detach().requires_grad_()
                d, _ = self(codes, labels, places)
                (gradient,) = torch.autograd.grad((1 - d).square().mean(1).sum() / 2, codes)  # g's error is zero
            codes = codes.detach() - self.refine_rate * gradient
        return codes

    def decode_codes(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes (n, D) → images (n, C, H, W) in [0, 1], at the resolution of training.

        Raises:
            ValueError: labels are missing, or given to an unconditional model.
        """
        self.check_labels(len(codes), labels)
        return self.raster(codes, labels, self.places.view(*self.image_shape[1:], 2))

    @torch.no_grad()
    def raster(self, codes: Tensor, labels: Tensor | None, places: Tensor) -> Tensor:
        """Lines 11 to 13: codes (n, D) at places (height, width, 2) → (n, C, height, width) in [0, 1]."""
        height, width, _ = places.shape
        places = places.flatten(0, 1)
        labels = self.labels.new_zeros(len(codes)) if labels is None else labels
        images = codes.new_empty(len(codes), len(places), self.image_shape[0])
        some = max(1, PIXELS_AT_ONCE // len(places))
        for part in torch.arange(len(codes)).split(some):
            for there in torch.arange(len(places)).split(PIXELS_AT_ONCE):
                at = slice(int(there[0]), int(there[-1]) + 1)
                images[part, at] = self(codes[part], labels[part], places[at])[1]
        return images.transpose(1, 2).reshape(-1, self.image_shape[0], height, width).clamp(0, 1).float()

    # ------------------------------------------------------------------------------------------ codes of images

    def stored_codes(self) -> Tensor:
        """L_i of the training images: (N, D)."""
        return self.codes

    def encode(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Fit codes to unseen images by descent on ½|x - g|² over all pixels, the weights fixed, from the class's mean code.

        Args:
            images: (n, C, H, W) in [0, 1].
            labels: (n,); None: the class whose code fits best.

        Returns:
            (n, D).
        """
        return self.encode_with_labels(images, labels)[0]

    def encode_with_labels(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """As `encode`, with the labels (n,) that were given or found."""
        if labels is not None or not self.num_classes:
            self.check_labels(len(images), labels)
            labels = self.labels.new_zeros(len(images)) if labels is None else labels
            return self.fit_codes(images, labels, self.encode_steps)[0], labels
        tried = [
            self.fit_codes(images, self.labels.new_full((len(images),), label), self.encode_steps)
            for label in range(self.num_classes)
        ]
        best = torch.stack([error for _, error in tried]).argmin(0)  # (n,)
        return torch.stack([codes for codes, _ in tried])[best, torch.arange(len(best))], best

    def fit_codes(self, images: Tensor, labels: Tensor, steps: int, every: int = 1) -> tuple[Tensor, Tensor]:
        """Codes (n, D) and their mean squared error (n,), both from every so many-th pixel."""
        places = self.places[::every]
        target = images.flatten(2).transpose(1, 2)[:, ::every]  # (n, pixels, C)
        with torch.enable_grad():
            codes = self.mean_codes()[labels].requires_grad_()
            optimizer = torch.optim.Adam([codes], lr=0.1)
            for _ in range(steps):
                error = (target - self(codes, labels, places)[1]).square().mean((1, 2))
                (codes.grad,) = torch.autograd.grad(error.sum(), codes)
                optimizer.step()
        codes = codes.detach()
        return codes, (target - self(codes, labels, places)[1]).square().mean((1, 2)).detach()

    def mean_codes(self) -> Tensor:
        """Mean stored code of each class: (max(1, num_classes), D)."""
        labels = self.labels if self.num_classes else torch.zeros_like(self.labels)
        return class_means(self.codes, labels, max(1, self.num_classes))

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The images that fitted codes decode to: (n, C, H, W) in [0, 1]."""
        codes, labels = self.encode_with_labels(images, labels)
        return self.decode_codes(codes, labels if self.num_classes else None)

    # ------------------------------------------------------------------------------------------ watching

    def on_validation_epoch_start(self) -> None:
        if self.sampler == "prior":  # the epoch's grid is drawn from it
            self.prior.fit_roughly(self.codes, self.classes_of(self.labels))

    def validation_step(self, batch: Batch, _: int) -> None:
        """The error of a few held-out images after a short fit of their codes, at every fifth pixel."""
        images = batch.image[:64]
        labels = batch.label[:64] if self.num_classes else self.labels.new_zeros(len(images))
        self.log("val/score", self.fit_codes(images, labels, steps=10, every=5)[1].mean(), batch_size=len(images))

    @torch.no_grad()
    def diagnose(self, *, generator: Generator | None = None) -> dict[str, float]:
        """Mean d on stored codes and on fresh ones from N(0, I), at all pixels."""
        some = torch.randperm(len(self.codes), generator=generator, device=self.device)[:1000]
        stored = self.codes[some]
        fresh = torch.randn(stored.shape, generator=generator, device=self.device, dtype=stored.dtype)
        return {
            f"d on {name} codes": self(codes, self.labels[some], self.places)[0].mean().item()
            for name, codes in (("stored", stored), ("fresh", fresh))
        }
