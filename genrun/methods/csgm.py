r"""Continuous Space Generative Model: an image is a function of the coordinates of its pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from genrun.maths.fitted_codes import Decode, fitted_codes, fitted_codes_and_labels
from genrun.maths.learning_rates import rate_share, warm_up
from genrun.maths.mixtures import ClassMixture, Prior
from genrun.maths.principal import scores_within_classes
from genrun.maths.row_adam import RowAdam
from genrun.maths.whitening import class_means, whitened
from genrun.methods.code_prior import CodePriorMethod
from genrun.nn.coordinates import BasisNetwork, JointNetwork
from genrun.nn.mlp import Init, pixel_centres
from genrun.types import Batch

Ramp = Literal["visit", "training", "contrast"]
Sampler = Literal["prior", "algorithm2"]

PIXELS_AT_ONCE = 2**16  # pixels decoded together; more do not fit into the caches of the processor


class CSGM(CodePriorMethod):
    r"""CSGM ("Continuous Space Generative Model", chapter 3).

    One multilayer perceptron maps a class, a code and a place to a score and to the value of the image at this place:

        (S, L, A) ↦ (d, g)                                                     (figure 3.1)

    S is the one-hot class, L the code of one image, and A = (p, q) the coordinates of a pixel in [-1, 1]². d says how near L is to the
    manifold of the data, and g are the channel values at A. Each training image i has its own code L_i, which is learned together with
    the weights:

        E = ½ Σ |(m, x_A) - CSGM(S, L, A)|²                                     (3.2)
        w ← w - η ∂E/∂w                                                         (3.3)
        L ← L - η_L ∂E/∂L, with the gradient at the weights before (3.3)         (3.4)

    (The document's "+η∇" takes the step η(target - output)·∂output, which is the same.) A step visits many images, and P random
    pixels of each; with one image and one pixel it is exactly Algorithm 1.

    Args:
        image_shape: (C, H, W).
        num_classes: length of S; 0: S is empty.
        train_size: N, the number of training images and of their codes.
        optimizer: makes the optimizer from the weights; its learning rate is η, for the gradient summed over the B·P pixels of a step.
        code_rate: η_L, the learning rate of the codes, for each code's gradient summed over its own P pixels.
        code_start: codes start as `noise` from N(0, I), or as the `principal` components of the images within their class, so that
            similar images have similar codes from the start.
        code_adam: move codes by Adam, with moments for each code that change only when its image is visited; False: by (3.4).
        code_size: D, the length of L.
        code_noise: σ; in training the network sees L + σε, ε ~ N(0, I). None: 18/√N, but at most ½; codes of few images must be wide.
        hidden: widths of the hidden layers; with a basis, of those that see S and L.
        basis: K. 0: one perceptron for S, L and A, as in the document (`JointNetwork`); else d and g are combinations of K functions of
            A, whose weights depend on S and L (`BasisNetwork`). Then all pixels of an image cost less than a few of them otherwise.
        place_hidden: widths of the hidden layers that see A, with a basis.
        place_octaves: how many octaves of sines and cosines of A the network sees, too.
        output: g is `linear`, or a `sigmoid`, which is exactly black or white where it should be. Its error is the cross-entropy of the
            pixels instead of half the squared error.
        pixels: P, number of random pixels of each image in a step; None: all pixels.
        visit_steps: number of steps of one visit to a batch of images (N of Algorithm 1).
        ramp: the target m of d. `visit`: it rises evenly from 0 in the first step of a visit to 1 in the last one (Algorithm 1);
            `training`: it rises from 0 to 1 once over the training (the document's text); `contrast`: 1 on the stored codes and 0 on
            fresh codes from N(0, I).
        d_weight: weight of the error of d; the error of g has the weight 1.
        fresh_pixels: number of pixels at which d of a fresh code is computed (`contrast`); together they have the weight of P pixels.
        whiten: each time all images were visited, give the codes zero mean in each class and, with their noise, unit covariance
            (see `whiten_codes`).
        schedule: of both learning rates. `cosine`: they fall to zero over the budget, for the weights after a warm-up in the first 2 %;
            `constant`.
        leaky_output: put an activation after the output, as the document counts its layers.
        init: initialisation of the network, see `MLP`.
        place_scale: factor on the initial weights of A; a large one lets the image change from pixel to pixel from the start.
        code_scale: factor on the initial weights of L; codes start as noise, and with a small one their effect grows only during training.
        sampler: `algorithm2`, or `prior`: draw codes from a distribution fitted to the stored codes of each class.
        prior: makes this distribution from (classes, code_size).
        mean_of: K of Algorithm 2.
        refine_steps: N of Algorithm 2.
        refine_rate: η of Algorithm 2, for the gradient averaged over the pixels of a step.
        refine_pixels: number of pixels of a step of Algorithm 2, the same ones for all codes (1 in its line 4).
        refine_order: the pixels of a step are `random` (its line 4), or all pixels in `raster` order.
        encode_steps: number of Adam steps that fit a code to an unseen image.

    References:
        "Continuous Space Generative Model", algorithms 1 and 2.
        Bojanowski et al., Optimizing the latent space of generative networks, 2018 (codes that are learned with the weights).
    """

    sampling_options = ("sampler",)
    drawing_options = (
        *("sampler", "prior", "mean_of", "encode_steps"),
        *("refine_steps", "refine_rate", "refine_pixels", "refine_order"),
    )

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
        code_start: Literal["noise", "principal"] = "noise",
        hidden: Sequence[int] = (300, 150, 100, 50),
        basis: int = 0,
        place_hidden: Sequence[int] = (256,),
        place_octaves: int = 0,
        output: Literal["linear", "sigmoid"] = "linear",
        pixels: int | None = 16,
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
        counts = {"code_size": code_size, "visit_steps": visit_steps, "fresh_pixels": fresh_pixels}
        counts |= {} if pixels is None else {"pixels": pixels}
        counts |= {"mean_of": mean_of, "refine_pixels": refine_pixels, "encode_steps": encode_steps}
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"model.{name}: expected at least 1, got {count}")
        for name, count in {"basis": basis, "place_octaves": place_octaves}.items():
            if count < 0:
                raise ValueError(f"model.{name}: expected at least 0, got {count}")
        if basis and leaky_output:
            raise ValueError("model.leaky_output=true is for a network without a basis (model.basis=0)")
        if refine_steps < 0 or (code_noise is not None and not 0 <= code_noise < 1):
            raise ValueError(
                f"expected model.refine_steps ≥ 0 and 0 ≤ model.code_noise < 1, got {refine_steps} and {code_noise}"
            )
        if ramp == "visit" and visit_steps < 2:
            raise ValueError(
                f"model.ramp=visit rises from 0 to 1 within a visit: expected model.visit_steps of at least 2, got {visit_steps}"
            )
        self.automatic_optimization = False  # two learning rates, and a visit has several steps
        self.optimizer = optimizer
        self.code_rate, self.code_adam = code_rate, code_adam
        self.code_noise = min(0.5, 18 / train_size**0.5) if code_noise is None else code_noise
        self.pixels, self.visit_steps, self.output, self.code_start = pixels, visit_steps, output, code_start
        self.steps_per_batch = visit_steps
        self.ramp, self.d_weight, self.fresh_pixels = ramp, d_weight, fresh_pixels
        self.whiten, self.schedule = whiten, schedule
        self.sampler, self.mean_of = sampler, mean_of
        self.refine_steps, self.refine_rate = refine_steps, refine_rate
        self.refine_pixels, self.refine_order = refine_pixels, refine_order
        self.encode_steps = encode_steps
        inputs, outputs = num_classes + code_size, 1 + self.image_shape[0]
        if basis:
            self.network = BasisNetwork(
                inputs, outputs, hidden, basis, place_hidden, place_octaves, init=init, place_scale=place_scale
            )
        else:
            self.network = JointNetwork(
                inputs, outputs, hidden, place_octaves, leaky_output=leaky_output, init=init, place_scale=place_scale
            )
        with torch.no_grad():
            self.network.first.weight[:, self.code_columns(code_size)] *= code_scale
        self.register_buffer("codes", torch.randn(train_size, code_size))  # L_i ~ N(0, I)
        self.register_buffer("labels", torch.zeros(train_size, dtype=torch.long))
        self.register_buffer("places", pixel_centres(self.image_shape[1:]), persistent=False)  # (H·W, 2)
        self.prior = prior(max(1, num_classes), code_size)
        if code_start == "principal":
            self.register_buffer("started", torch.tensor(False))  # whether the codes are no longer noise
        self.visited = 0  # number of images since the codes were last whitened
        self.code_moments = RowAdam(train_size, code_size)

    decodes_by_class = True

    # ------------------------------------------------------------------------------------------ the network, figure 3.1

    def forward(self, codes: Tensor, labels: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Compute Feedforward(A, L, S) of n codes at P places each.

        Args:
            codes: (n, D).
            labels: (n,) int64; ignored if the method is unconditional.
            places: (P, 2), the same for all codes, or (n, P, 2).

        Returns:
            d (n, P) and g (n, P, C).
        """
        d, g = self.outputs(codes, labels, places)
        return d, g.sigmoid() if self.output == "sigmoid" else g

    def outputs(self, codes: Tensor, labels: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return d and what g is made of: g itself, or its logits if g is a sigmoid; shapes as in `forward`."""
        of_image = torch.cat([F.one_hot(labels, self.num_classes).to(codes), codes], 1) if self.num_classes else codes
        out = self.network(of_image, places)
        return out[..., 0], out[..., 1:]

    def code_columns(self, code_size: int) -> slice:
        """Return which inputs of the network's first layer are L."""
        return slice(self.num_classes, self.num_classes + code_size)

    # ------------------------------------------------------------------------------------------ algorithm 1, training

    def training_step(self, batch: Batch, _: int) -> None:
        self.labels[batch.index] = batch.label
        pixels = by_pixel(batch.image)
        optimizer = self.optimizers()
        for n in range(self.visit_steps):
            places, target = self.visited_places(pixels)
            codes = self.codes[batch.index].requires_grad_()  # (B, D)
            seen = codes + self.code_noise * torch.randn_like(codes) if self.code_noise else codes
            d, g = self.outputs(seen, batch.label, places)
            error_d = (self.target_of_d(n) - d).square().sum()
            if self.ramp == "contrast":
                error_d = error_d + self.error_on_fresh_codes(batch.label)
            error_g, squared = self.errors_of_g(g, target)
            weight_share, code_share = self.rate_shares()
            self.set_rates(optimizer, weight_share)
            optimizer.zero_grad()
            # one pass: both gradients at the same weights
            self.manual_backward((self.d_weight * error_d + error_g) / 2)
            optimizer.step()  # (3.3)
            self.move_codes(batch.index, codes.grad, code_share * self.code_rate)  # (3.4)
            self.track(d=error_d / d.numel(), g=squared / g.numel())
        self.visited += len(batch.index)
        if self.whiten and self.visited >= len(self.codes):
            self.whiten_codes()
            self.visited = 0

    def visited_places(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the places of a step for images (B, H·W, C); return them, (B, P, 2) or (H·W, 2), and the pixels there."""
        if self.pixels is None:
            return self.places, pixels
        at = torch.randint(len(self.places), (len(pixels), self.pixels), device=self.device)  # <p, q>, (B, P)
        return self.places[at], pixels.gather(1, at.unsqueeze(2).expand(-1, -1, pixels.shape[2]))

    def errors_of_g(self, g: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the error of g of which half is minimised, and its squared error, both summed; with a sigmoid, from its logits."""
        if self.output == "linear":
            error = (target - g).square().sum()
            return error, error
        return 2 * F.binary_cross_entropy_with_logits(g, target, reduction="sum"), (target - g.sigmoid()).square().sum()

    def error_on_fresh_codes(self, labels: Tensor) -> Tensor:
        """Return the squared error of d, whose target is 0, on codes from N(0, I), at a few pixels with the weight of P pixels."""
        codes = torch.randn(len(labels), self.codes.shape[1], device=self.device, dtype=self.codes.dtype)
        # where all images are seen at the same places, so are these
        some = (self.fresh_pixels,) if self.pixels is None else (len(labels), self.fresh_pixels)
        at = torch.randint(len(self.places), some, device=self.device)
        weight = (self.pixels or len(self.places)) / self.fresh_pixels
        return self(codes, labels, self.places[at])[0].square().sum() * weight

    def target_of_d(self, n: int) -> float:
        """Return m, the target of d, in step n of a visit."""
        if self.ramp == "visit":
            return n / (self.visit_steps - 1)
        return self.progress() if self.ramp == "training" else 1.0

    def rate_shares(self) -> tuple[float, float]:
        """Return the current learning rates of the weights and of the codes, as shares of their full values."""
        if self.schedule == "constant":
            return 1.0, 1.0
        done = self.progress()
        share = rate_share(self.schedule, done)
        return share * warm_up(done), share

    @torch.no_grad()
    def move_codes(self, index: Tensor, gradient: Tensor, rate: float) -> None:
        """Move the visited codes `index` (B,) by one step against their gradient (B, D)."""
        step = self.code_moments.step(index, gradient) if self.code_adam else gradient
        self.codes.index_add_(0, index, step, alpha=-rate)

    @torch.no_grad()
    def whiten_codes(self) -> None:
        """Give the codes zero mean in each class and the covariance (1 - σ²)I within classes. Their images stay the same.

        The first layer is linear in S and L. Let μ_y be the mean of class y, C the covariance of L - μ_y over all classes,
        and A = (C / (1 - σ²))^½. Then

            L' = A⁻¹(L - μ_y),   W_L' = W_L A,   W_S' = W_S + W_L μ

        give W_S'S + W_L'L' = W_S S + W_L L. The moments of the optimizers do not change. With their noise σ, the codes then have the same
        mean and covariance as N(0, I), from which Algorithm 2 starts, so d must learn the other differences.
        """
        first, width = self.network.first, self.num_classes
        of_codes = self.code_columns(self.codes.shape[1])
        labels = self.labels if width else torch.zeros_like(self.labels)
        codes, mean, root = whitened(self.codes, labels, max(1, width), variance=1 - self.code_noise**2)
        of_code = first.weight[:, of_codes].clone()  # W_L
        if width:
            first.weight[:, :width] += of_code @ mean.T
        else:
            first.bias += of_code @ mean[0]
        first.weight[:, of_codes] = of_code @ root
        self.codes.copy_(codes)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.network.parameters())

    def on_fit_start(self) -> None:
        self.code_moments.to(self.codes)

    def on_train_start(self) -> None:
        if self.code_start == "principal" and not self.started:
            self.started.fill_(True)
            train = self.trainer.datamodule.train
            self.start_codes(train.images, train.labels)

    @torch.no_grad()
    def start_codes(self, images: Callable[[Tensor], Tensor], labels: Tensor) -> None:
        """Let the codes start as the principal components of the training images within their class.

        Args:
            images: returns the training images of given indices: (n,) → (n, C, H, W).
            labels: (N,), of all of them.
        """
        labels = self.classes_of(labels.to(self.device))
        scores = scores_within_classes(images, labels, max(1, self.num_classes), self.codes.shape[1])
        codes = torch.cat([scores.to(self.codes), self.codes[:, scores.shape[1] :]], 1)
        self.codes.copy_(whitened(codes, labels, max(1, self.num_classes), variance=1 - self.code_noise**2)[0])

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
        """Draw n images at any resolution: (n, C, resolution, resolution), or a window (top, left, height, width) of them."""
        self.check_labels(n, labels)
        top, left, height, width = window or (0, 0, resolution, resolution)
        places = pixel_centres(resolution).view(resolution, resolution, 2)[top : top + height, left : left + width]
        return self.raster(self.draw_codes(n, labels, generator), labels, places.to(self.places))

    def draw_codes(self, n: int, labels: Tensor | None, generator: Generator | None) -> Tensor:
        """Draw the codes of n new images by `sampler`: (n, D)."""
        if self.sampler == "prior":
            return super().draw_codes(n, labels, generator)
        labels = self.labels.new_zeros(n) if labels is None else labels
        shape = n * self.mean_of, self.codes.shape[1]
        codes = torch.randn(shape, generator=generator, device=self.device, dtype=self.codes.dtype)
        refined = self.refine(codes, labels.repeat_interleave(self.mean_of), generator)
        return refined.unflatten(0, (n, self.mean_of)).mean(1)  # L_avg

    def refine(self, codes: Tensor, labels: Tensor, generator: Generator | None = None) -> Tensor:
        """Move codes down the gradient of ½(1 - d)², with fixed weights (lines 3 to 8 of Algorithm 2): (n, D) → (n, D)."""
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
        """Decode codes (n, D) to images (n, C, H, W) in [0, 1], at the resolution of the training images.

        Raises:
            ValueError: labels are missing, or an unconditional model is given some.
        """
        self.check_labels(len(codes), labels)
        return self.raster(codes, labels, self.places.view(*self.image_shape[1:], 2))

    def decoded(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        images = self(codes, labels, self.places)[1]  # (n, H·W, C)
        return images.transpose(1, 2).unflatten(2, self.image_shape[1:]).clamp(0, 1).float()

    def only_decodes(self) -> str | None:
        if self.sampler == "algorithm2":
            return "Algorithm 2 moves new codes down a gradient of the network (model.sampler=algorithm2)"
        return super().only_decodes()

    @torch.no_grad()
    def raster(self, codes: Tensor, labels: Tensor | None, places: Tensor) -> Tensor:
        """Decode codes (n, D) at places (height, width, 2) to images (n, C, height, width) in [0, 1] (lines 11 to 13)."""
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
        """Return the codes L_i of the training images: (N, D)."""
        return self.codes

    def encode(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Fit codes to unseen images: minimise ½|x - g|² over all pixels, with fixed weights, from the mean code of the class.

        Args:
            images: (n, C, H, W) in [0, 1].
            labels: (n,); None: every class is tried, and the best fit is returned.

        Returns:
            codes (n, D).
        """
        return self.encode_with_labels(images, labels)[0]

    def encode_with_labels(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Fit codes to unseen images, see `encode`; return them with the labels (n,) that were given or found."""
        if labels is not None or not self.num_classes:
            self.check_labels(len(images), labels)
            labels = self.labels.new_zeros(len(images)) if labels is None else labels
            codes, _ = fitted_codes(self.values_at(), self.mean_codes(), labels, by_pixel(images), self.encode_steps)
            return codes, labels
        return fitted_codes_and_labels(self.values_at(), self.mean_codes(), by_pixel(images), self.encode_steps)

    def values_at(self, every: int = 1) -> Decode:
        """Return the function from codes (n, D) and labels (n,) to g at every `every`-th pixel, (n, P, C)."""
        return lambda codes, labels: self(codes, labels, self.places[::every])[1]

    def mean_codes(self) -> Tensor:
        """Return the mean stored code of each class: (max(1, num_classes), D)."""
        labels = self.labels if self.num_classes else torch.zeros_like(self.labels)
        return class_means(self.codes, labels, max(1, self.num_classes))

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Fit codes to images and decode them: (n, C, H, W) in [0, 1] → the same."""
        codes, labels = self.encode_with_labels(images, labels)
        return self.decode_codes(codes, labels if self.num_classes else None)

    # ------------------------------------------------------------------------------------------ validation

    def not_refitted(self) -> str | None:
        if self.sampler == "prior":
            return None
        return "its samples are drawn by Algorithm 2 and not from the prior (add model.sampler=prior)"

    def on_validation_epoch_start(self) -> None:
        self.prepare_samples()

    def prepare_samples(self) -> None:
        if self.sampler == "prior":  # the sample grid of this epoch is drawn from it
            self.prior.fit_roughly(self.codes, self.classes_of(self.labels))

    def validation_step(self, batch: Batch, _: int) -> None:
        """Log the error of a few held-out images after a short fit of their codes, at every fifth pixel."""
        images = batch.image[:64]
        labels = batch.label[:64] if self.num_classes else self.labels.new_zeros(len(images))
        _, errors = fitted_codes(self.values_at(5), self.mean_codes(), labels, by_pixel(images)[:, ::5], steps=10)
        self.log("val/score", errors.mean(), batch_size=len(images))

    @torch.no_grad()
    def diagnose(self, *, generator: Generator | None = None) -> dict[str, float]:
        """Return the mean d on stored codes and on fresh codes from N(0, I), at all pixels."""
        some = torch.randperm(len(self.codes), generator=generator, device=self.device)[:1000]
        stored = self.codes[some]
        fresh = torch.randn(stored.shape, generator=generator, device=self.device, dtype=stored.dtype)
        return {
            f"d on {name} codes": self(codes, self.labels[some], self.places)[0].mean().item()
            for name, codes in (("stored", stored), ("fresh", fresh))
        }


def by_pixel(images: Tensor) -> Tensor:
    """Return the channel values of each pixel: (n, C, H, W) → (n, H·W, C)."""
    return images.flatten(2).transpose(1, 2)
