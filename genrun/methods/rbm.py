r"""Restricted Boltzmann machine: an energy of pixels and hidden units, learned by contrasting the data with the model's fantasies."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from genrun.maths.annealing import log_ratio_of_constants
from genrun.maths.learning_rates import LearningRateSchedule, rate_share
from genrun.maths.random_numbers import bernoulli
from genrun.methods.method import Method
from genrun.types import Batch

Visible = Literal["grey", "sampled", "threshold"]
Units = Literal["states", "means"]
Start = Literal["fantasies", "tempered", "noise"]
Output = Literal["means", "states", "mean_field"]

MEAN_IMAGES = 10000  # the base rates are the pixel means of this many training images
WATCHED = 10  # the logged reconstruction error is that of this many images of a batch


class RBM(Method):
    r"""Restricted Boltzmann machine ("Generative Imaging", sections 3.2.1 and 3.4.1).

        E(v, h) = -vᵀWh - b_vᵀv - b_hᵀh                       (3), first sign corrected
        P(v) = exp(-F(v)) / Z,   F(v) = -b_vᵀv - Σ_j softplus(b_h,j + (vW)_j)         (6), summed over h
        P(h_j = 1 | v) = σ(Σ_i v_i W_ij + b_h,j)              (24)
        P(v_i = 1 | h) = σ(Σ_j h_j W_ij + b_v,i)              (25)
        ΔW ∝ ⟨vhᵀ⟩_data - ⟨v̄h̄ᵀ⟩_model                         (26), and the same for both biases

    The C·H·W pixels are visible units. A conditional model has one more visible unit for each class; exactly one of these is on.

    Args:
        image_shape: (C, H, W).
        num_classes: number of classes of the data.
        optimizer: makes the optimizer from W and the biases. Their gradient is the negative of (26); plain SGD with learning rate η is the
            document's step.
        conditional: model images and labels together. None: if the data has labels.
        hidden: number of hidden units.
        visible: how a grey value x becomes a visible unit: unchanged (`grey`); 1 with probability x, drawn again in each step
            (`sampled`); or 1 if x > ½ (`threshold`).
        cd_steps: k, number of Gibbs steps to the fantasies.
        persistent: the chains continue from one training step to the next (PCD) instead of starting at the data (CD).
        chains: number of persistent chains.
        moved: number of these chains that a training step moves, in turn; None, or more than there are: all. So there can be as many
            independent chains as samples are wanted.
        centred: subtract the running means from the units in the gradient, so that it does not depend on which state is called 0.
        units: (26) uses the drawn `states` of the hidden units or their `means`, in both terms.
        summed: the gradient of W is the sum over the batch instead of the mean, as in the document's code.
        scale: standard deviation of the initial W.
        pixel_means: b_v starts at the log odds of the mean pixels of the training images; False: at zero.
        weight_decay: weight decay of W; the biases have none.
        schedule: how the learning rate changes over the training.
        gibbs_steps: steps of a chain before its state counts as a sample.
        start: where the chains of samples begin. `fantasies`: at the persistent chains of the training, which are already samples of the
            model; `tempered`: at independent pixels with the means of the data, then from β = 0 to the model at β = 1 over the steps;
            `noise`: at h ~ U(0, 1).
        output: samples are the `means` or the `states` of the last step, or these means after one more step in which both layers take
            their means in place of drawn states (`mean_field`): the noise of the last hidden states does not show.
        ais_chains: number of runs of annealed importance sampling, for log Z.
        ais_temperatures: number of temperatures of each run.

    References:
        Hinton, Training products of experts by minimizing contrastive divergence, 2002.
        Tieleman, Training restricted Boltzmann machines using approximations to the likelihood gradient, 2008 (PCD).
        Melchior et al., How to center deep Boltzmann machines, 2016 (the centred gradient).
        Salakhutdinov and Murray, On the quantitative analysis of deep belief networks, 2008 (log Z).
    """

    binary = True
    best_by = "judge/frechet"
    drawing_options = ("gibbs_steps", "start", "output")

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        optimizer: Callable[..., torch.optim.Optimizer],
        conditional: bool | None = False,
        hidden: int = 500,
        visible: Visible = "sampled",
        cd_steps: int = 1,
        persistent: bool = True,
        chains: int = 100,
        moved: int | None = None,
        centred: bool = True,
        units: Units = "means",
        summed: bool = False,
        scale: float = 0.01,
        pixel_means: bool = True,
        weight_decay: float = 0.0,
        schedule: LearningRateSchedule = "linear",
        gibbs_steps: int = 200,
        start: Start = "fantasies",
        output: Output = "means",
        ais_chains: int = 100,
        ais_temperatures: int = 10000,
    ) -> None:
        super().__init__(image_shape, self.classes(num_classes, conditional))
        counts = {"hidden": hidden, "cd_steps": cd_steps, "chains": chains, "gibbs_steps": gibbs_steps}
        counts |= {"ais_chains": ais_chains, "ais_temperatures": ais_temperatures}
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"model.{name}: expected at least 1, got {count}")
        if start == "fantasies" and not persistent:
            raise ValueError("model.start=fantasies needs model.persistent=true: expected tempered or noise")
        moved = chains if moved is None else min(moved, chains)
        if moved < 1 or chains % moved:
            raise ValueError(f"model.moved: expected a number that divides model.chains={chains}, got {moved}")
        self.automatic_optimization = False  # (26) is not the gradient of a loss
        self.optimizer = optimizer
        self.visible, self.cd_steps, self.persistent = visible, cd_steps, persistent
        self.centred, self.units, self.summed = centred, units, summed
        self.pixel_means, self.weight_decay, self.schedule = pixel_means, weight_decay, schedule
        self.gibbs_steps, self.start, self.output = gibbs_steps, start, output
        self.moved = moved
        self.ais_chains, self.ais_temperatures = ais_chains, ais_temperatures
        self.pixels = math.prod(self.image_shape)
        units_seen = self.pixels + self.num_classes  # V
        self.W = nn.Parameter(scale * torch.randn(units_seen, hidden))
        self.b_v = nn.Parameter(torch.zeros(units_seen))
        self.b_h = nn.Parameter(torch.zeros(hidden))
        self.register_buffer("base", torch.zeros(units_seen))  # b: log odds of the mean pixels of the data
        self.register_buffer("fantasies", torch.full((chains if persistent else 0, hidden), 0.5))  # h of the chains
        self.register_buffer("mean_v", torch.full((units_seen,), 0.5))  # μ of the centred gradient
        self.register_buffer("mean_h", torch.full((hidden,), 0.5))  # λ
        self.register_buffer("log_z", torch.full((2,), math.nan, dtype=torch.float64))  # log Z and its standard error

    def check_options(self) -> None:
        self.refuse_own(self.optimizer, "weight_decay", "model.weight_decay, which is that of W")

    # ------------------------------------------------------------------------------------------------- the distribution

    def free_energy(self, v: Tensor) -> Tensor:
        """Return F(v) = -b_vᵀv - Σ_j softplus(b_h,j + (vW)_j) in nats: (B, V) → (B,)."""
        return -(v @ self.b_v) - F.softplus(self.b_h + v @ self.W).sum(-1)

    def means_h(self, v: Tensor, beta: float = 1.0) -> Tensor:
        """Return P(h_j = 1 | v) at the inverse temperature β, (24): (B, V) → (B, H)."""
        return torch.addmm(self.b_h, v, self.W, beta=beta, alpha=beta).to(self.W).sigmoid_()

    def means_v(self, h: Tensor, beta: float = 1.0) -> Tensor:
        """Return P(v_i = 1 | h) at the inverse temperature β, (25): (B, H) → (B, V). For class units it is the probability of the class."""
        b_v = self.b_v if beta == 1 else torch.lerp(self.base, self.b_v, beta)
        field = torch.addmm(b_v, h, self.W.T, alpha=beta).to(self.W)
        if not self.num_classes:
            return field.sigmoid_()
        return torch.cat([field[:, : self.pixels].sigmoid(), field[:, self.pixels :].softmax(1)], 1)

    def states_v(self, means: Tensor, labels: Tensor | None = None, generator: Generator | None = None) -> Tensor:
        """Draw visible units from their means: (B, V) → (B, V). If labels are given, the class units are set to them."""
        v = bernoulli(means, generator)
        if self.num_classes:
            if labels is None:
                labels = torch.multinomial(means[:, self.pixels :], 1, generator=generator).squeeze(1)
            v[:, self.pixels :] = F.one_hot(labels, self.num_classes)
        return v

    def gibbs(
        self, v: Tensor, betas: Sequence[float], labels: Tensor | None = None, generator: Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Take one Gibbs step h ~ P(h | v), v ~ P(v | h) at each inverse temperature, starting at v (B, V).

        The distributions from the base rates (β = 0, independent pixels) to the model (β = 1) are

            p_β(v) ∝ exp((1-β) bᵀv + β b_vᵀv) Π_j (1 + exp β(b_h,j + (vW)_j)),   b: `base`

        Yields:
            the means of v, and the states drawn from them: (B, V) each.
        """
        for beta in betas:
            means = self.means_v(bernoulli(self.means_h(v, beta), generator), beta)
            v = self.states_v(means, labels, generator)
            yield means, v

    # ----------------------------------------------------------------------------------------------------- training, (26)

    def training_step(self, batch: Batch, _: int) -> None:
        states = self.units == "states"
        with torch.no_grad():
            v = self.seen(batch.image, batch.label)
            mean_h = self.means_h(v)
            h = bernoulli(mean_h) if states or not self.persistent else mean_h
            chains = self.moving_chains()
            v_k = self.fantasy(chains if self.persistent else h)
            mean_h_k = self.means_h(v_k)
            h_k = bernoulli(mean_h_k) if states or self.persistent else mean_h_k
            if self.persistent:
                chains.copy_(h_k)
            self.descend(v, h if states else mean_h, v_k, h_k if states else mean_h_k)
            self.track(reconstruction=self.reconstruction_error(v[:WATCHED], mean_h[:WATCHED]))
        optimizer = self.optimizers()
        self.set_rates(optimizer, rate_share(self.schedule, self.progress()))
        optimizer.step()

    def moving_chains(self) -> Tensor:
        """Return the hidden states of the persistent chains that this step moves, as a view: (moved, H)."""
        at = self.global_step * self.moved % max(1, len(self.fantasies))
        return self.fantasies[at : at + self.moved]

    def fantasy(self, h: Tensor) -> Tensor:
        """Run chains from the hidden states h for `cd_steps` steps; return their visible states: (chains, H) → (chains, V)."""
        v = self.states_v(self.means_v(h))
        for _, state in self.gibbs(v, [1.0] * (self.cd_steps - 1)):
            v = state
        return v

    def seen(self, images: Tensor, labels: Tensor) -> Tensor:
        """Turn images (B, C, H, W) in [0, 1] and labels (B,) into visible units: (B, V)."""
        v = images.flatten(1)
        if self.visible != "grey":
            v = bernoulli(v) if self.visible == "sampled" else (v > 0.5).to(v)
        return torch.cat([v, F.one_hot(labels, self.num_classes).to(v)], 1) if self.num_classes else v

    def descend(self, v: Tensor, h: Tensor, v_k: Tensor, h_k: Tensor) -> None:
        r"""Store the negative of (26) in the `grad` of the parameters.

        Let μ and λ be the running means of v and h. The centred gradient is

            ΔW = ⟨(v-μ)(h-λ)ᵀ⟩_data - ⟨(v̄-μ)(h̄-λ)ᵀ⟩_model,   Δb_v = ⟨v⟩ - ⟨v̄⟩ - ΔW λ,   Δb_h = ⟨h⟩ - ⟨h̄⟩ - ΔWᵀμ

        Args:
            v, h: units of the data, (B, V) and (B, H).
            v_k, h_k: units of the model's fantasies, (chains, V) and (chains, H).
        """
        # both terms in one product; its sums are exact enough in mixed precision, too
        W = (torch.cat([v_k, v]).T @ torch.cat([h_k / len(v_k), h / -len(v)])).to(self.W)
        means = [units.mean(0) for units in (v, v_k, h, h_k)]
        b_v, b_h = means[1] - means[0], means[3] - means[2]
        if self.centred:
            self.mean_v.lerp_((means[0] + means[1]) / 2, 0.01)
            self.mean_h.lerp_((means[2] + means[3]) / 2, 0.01)
            W.addr_(self.mean_v, b_h, alpha=-1).addr_(b_v, self.mean_h, alpha=-1)
            b_v.addmv_(W, self.mean_h, alpha=-1)
            b_h.addmv_(W.T, self.mean_v, alpha=-1)
        if self.summed:
            W *= len(v)
        self.W.grad, self.b_v.grad, self.b_h.grad = W, b_v, b_h

    def reconstruction_error(self, v: Tensor, mean_h: Tensor) -> Tensor:
        """Return the mean squared error of v (B, V), rebuilt from the means of h. It is only logged; (26) does not use it."""
        return (self.means_v(mean_h) - v).square_().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        biases = {"params": [self.b_v, self.b_h], "weight_decay": 0.0}
        return self.optimizer([{"params": [self.W], "weight_decay": self.weight_decay}, biases])

    @torch.no_grad()
    def on_fit_start(self) -> None:
        """Set the base rates, and what starts from them, unless a checkpoint or the weights of another run have set them."""
        if self.base.any():
            return
        train, some = self.spread_training_images(MEAN_IMAGES)
        mean = train.images(some.to(self.device)).flatten(1).mean(0).to(self.W)
        least = 1 / (len(some) + 1)
        mean = mean.clamp(least, 1 - least)  # the log odds of a pixel that is always off would be infinite
        self.base[: self.pixels] = mean.logit()
        if self.pixel_means:
            self.b_v[: self.pixels] = self.base[: self.pixels]
        if self.persistent:
            self.fantasies.copy_(bernoulli(self.fantasies))
        self.mean_v[: self.pixels] = mean

    def base_means(self, n: int) -> Tensor:
        """Return the means of v at β = 0: (n, V)."""
        return self.means_v(self.W.new_zeros(n, self.W.shape[1]), beta=0.0)

    # ------------------------------------------------------------------------------------------------------- generation

    def sample(self, n: int, labels: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        self.check_labels(n, labels)
        *_, last = self.chain(n, labels, generator)
        return self.to_images(last)

    @torch.no_grad()
    def chain(self, n: int, labels: Tensor | None, generator: Generator | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Run n chains; yield the means and the states of v in each step, (n, V) each."""
        betas = [1.0] * self.gibbs_steps
        if self.start == "fantasies":
            means = self.means_v(self.fantasies[self.starts(n, labels, generator)])
        elif self.start == "tempered":
            means = self.base_means(n)
            # the last tenth of the steps has β = 1
            betas = (torch.arange(1, self.gibbs_steps + 1) / (0.9 * self.gibbs_steps)).clamp(max=1).tolist()
        else:
            h = torch.rand(n, self.W.shape[1], generator=generator, device=self.device, dtype=self.W.dtype)
            means = self.means_v(h)
        v = self.states_v(means, labels, generator)
        yield from self.gibbs(v, betas, labels, generator)

    def starts(self, n: int, labels: Tensor | None, generator: Generator | None) -> Tensor:
        """Choose persistent chains to start from; return their indices (n,).

        If there are labels, a chain is chosen in proportion to the probability that it gives to the label.
        """
        if labels is None:
            chosen = torch.randperm(len(self.fantasies), generator=generator, device=self.device)
            return chosen.repeat(-(-n // len(chosen)))[:n]  # none twice, if there are enough
        weights = self.means_v(self.fantasies)[:, self.pixels :].T.clamp(min=1e-9)[labels]  # (n, chains)
        return torch.multinomial(weights, 1, generator=generator).squeeze(1)

    def not_exported(self) -> str:
        return f"an RBM draws random units in each of its {self.gibbs_steps:,} Gibbs steps, which is no function of a few inputs"

    @torch.no_grad()
    def to_images(self, step: tuple[Tensor, Tensor]) -> Tensor:
        """Turn the means and the states (n, V) of a step into what `output` asks for: images (n, C, H, W) in [0, 1]."""
        means, states = step
        chosen = states if self.output == "states" else means
        if self.output == "mean_field":  # class units stay as drawn or chosen
            chosen = self.means_v(self.means_h(torch.cat([means[:, : self.pixels], states[:, self.pixels :]], 1)))
        return chosen[:, : self.pixels].reshape(-1, *self.image_shape).float()

    def sample_trajectory(
        self, n: int, labels: Tensor | None = None, *, frames: int = 40, generator: Generator | None = None
    ) -> Tensor:
        """Draw n images; return evenly chosen steps of their chains, up to the last step: (T, n, C, H, W), T ≤ frames."""
        self.check_labels(n, labels)
        kept = torch.linspace(self.gibbs_steps - 1, 0, min(frames, self.gibbs_steps)).round().long().tolist()
        return torch.stack(
            [self.to_images(step) for at, step in enumerate(self.chain(n, labels, generator)) if at in kept]
        )

    # --------------------------------------------------------------------------------------------------------- likelihood

    @torch.no_grad()
    def log_prob(self, images: Tensor) -> Tensor:
        """Return log P(v) = -F(v) - log Z in nats: images (n, C, H, W) that are 0 or 1 → (n,).

        In a conditional model, P(v) is the sum over the labels. log Z is an estimate by annealed importance sampling, so these values are
        only as exact as this estimate.
        """
        self.ensure_log_z()
        v = images.flatten(1).to(self.W)
        if not self.num_classes:
            return -self.free_energy(v) - self.log_z[0]
        each = [
            -self.free_energy(torch.cat([v, unit.expand(len(v), -1)], 1))
            for unit in torch.eye(self.num_classes, device=v.device, dtype=v.dtype)
        ]
        return torch.stack(each).logsumexp(0) - self.log_z[0]

    def ensure_log_z(self) -> None:
        """Estimate log Z if it is not known yet."""
        if self.log_z[0].isnan():
            self.estimate_log_z()

    @torch.no_grad()
    def estimate_log_z(self) -> None:
        """Estimate log Z by annealed importance sampling from β = 0, where it is known, to β = 1 (see `gibbs`).

        The seed is always the same.
        """
        generator = Generator(self.device).manual_seed(0)

        def step(v: Tensor, beta: float) -> Tensor:
            ((_, v),) = self.gibbs(v, [beta], None, generator)
            return v

        start = self.states_v(self.base_means(self.ais_chains), None, generator)
        ratio, error = log_ratio_of_constants(start, self.ais_temperatures, self.log_ratio, step)
        log_z0 = F.softplus(self.base[: self.pixels].double()).sum() + self.W.shape[1] * math.log(2)
        if self.num_classes:
            log_z0 = log_z0 + self.base[self.pixels :].double().logsumexp(0)
        self.log_z[0], self.log_z[1] = log_z0 + ratio, error

    def log_ratio(self, v: Tensor, below: float, beta: float) -> Tensor:
        """Return log p*_β(v) - log p*_below(v), see `gibbs`: (B, V) → (B,) float64."""
        field = torch.addmm(self.b_h, v, self.W)
        of_h = (F.softplus(beta * field) - F.softplus(below * field)).sum(1)
        return (beta - below) * (v @ (self.b_v - self.base)).double() + of_h.double()

    def diagnose(self, *, generator: Generator | None = None) -> dict[str, float]:
        """Return the estimate of log Z and its standard error, in nats; nothing if no likelihood was asked for: it takes a minute."""
        if self.log_z[0].isnan():
            return {}
        return {"log Z, nats": self.log_z[0].item(), "log Z, standard error": self.log_z[1].item()}

    # -------------------------------------------------------------------------------------------------------------- codes

    @torch.no_grad()
    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the means of v given the means of h, which are given the grey images: (n, C, H, W) in [0, 1] → the same."""
        v = images.flatten(1).to(self.W)
        if self.num_classes:
            share = v.new_full((len(v), self.num_classes), 1 / self.num_classes)
            v = torch.cat([v, share if labels is None else F.one_hot(labels, self.num_classes).to(v)], 1)
        return self.means_v(self.means_h(v))[:, : self.pixels].reshape(images.shape).float()
