r"""ReGene: a classifier learns codes of images, a decoder learns to invert them, and combinations of codes give new images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn

from genrun.errors import Failed, nearest
from genrun.maths.classification import ClassificationLoss
from genrun.maths.convex import ConvexCombinations
from genrun.maths.mixtures import Prior
from genrun.maths.ssim import structural_similarity
from genrun.methods.code_prior import CodePriorMethod
from genrun.methods.phase_options import PhaseOptions, read_options
from genrun.nn.perceptual import PerceptualLoss
from genrun.nn.vgg import initialise
from genrun.types import Batch, Generations

CLASSIFIER = "classifier"  # the name of the first phase
AT_ONCE = 1024  # images in a forward pass outside training
PREVIEWED = 5000  # during training, combinations are of the codes of so many training images


@dataclasses.dataclass(frozen=True)
class DecoderOptions(PhaseOptions):
    """The options of a phase of the decoder.

    Args:
        mae, ssim, perceptual: λ₁, λ₂ and λ₃ of (6).
        classes: the decoder learns from images of these classes only; None: of all.
    """

    mae: float = 1.0
    ssim: float = 0.0
    perceptual: float = 0.0
    classes: Sequence[int] | None = None


class ReGene(CodePriorMethod):
    r"""Representation based generations ("Classify and generate", Gopalakrishnan et al., 2021).

        f_cls(X) = f_dis(f_enc(X)),   f_dis(z) = softmax(W z + b)                                  (1)
        z* = f_enc(X), with f_enc from the classifier's training; it is frozen from then on       (3), (4)
        L(φ) = mean of λ₁ |f_dec(z*) - X| + λ₂ (1 - SSIM(f_dec(z*), X)) + λ₃ |P(f_dec(z*)) - P(X)|²   (6)
        z = Σ_i θ_i z_i*, of n codes of one class; a new image is f_dec(z)                         (11), section 3.4

    A new image must pass two checks (section 6.2), or another combination is drawn. The latent check: the classifier assigns z to the
    class. The image check: it assigns f_dec(z) to the class with a confidence of at least the class's threshold, its mean confidence in
    held-out images of the class. Before the thresholds are known (during training), nothing is checked.

    The training has phases: `classifier`, then one or several of the decoder, each with its own λ and learning rate.

    Args:
        image_shape: (C, H, W).
        num_classes: number of classes of the data, at least 2.
        encoder: makes f_enc, a network (n, C, H, W) → (n, num_features), from the image_shape.
        decoder: makes f_dec, a network (n, num_features) → (n, channels, H, W), logits, from (inputs, image_shape). Grey images may be
            decoded to several channels: they are repeated as targets, and the output is averaged.
        classifier_loss: the loss of the first phase.
        optimizer: makes an optimizer from parameters; the phase sets its learning rate. Each phase has a new one.
        phases: `classifier` and phases of the decoder, by name; see `PhaseOptions` and `DecoderOptions`.
        prior: makes the distribution of new codes from (classes, num_features).
        classifier: `from_run`: the folder of a run from which the classifier is taken; None: train it.
        perceptual: whose first layer P is: `inception`: InceptionV3's, as in the document; `vgg`: VGG-16's.
        filter_sources: combine only codes that the classifier assigns to their class, so that Lemma 1 holds.
        latent_check, image_check: whether new images must pass these checks.
        thresholds: mean confidence in `all` held-out images of the class, or in those that are classified `correct`ly.
        max_tries: give up a class when fewer than one of so many combinations passes the checks.

    Raises:
        ValueError: the data has no classes, or an option is wrong.
    """

    drawing_options = ("prior", "latent_check", "image_check", "max_tries")
    sampling_options = ("filter_sources", "latent_check", "image_check", "thresholds", "max_tries")

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        encoder: Callable[..., nn.Module],
        decoder: Callable[..., nn.Module],
        classifier_loss: ClassificationLoss,
        optimizer: Callable[..., torch.optim.Optimizer],
        phases: Mapping[str, Mapping[str, Any]],
        prior: Callable[[int, int], Prior] = ConvexCombinations,
        classifier: Mapping[str, Any] | None = None,
        perceptual: Literal["inception", "vgg"] = "inception",
        filter_sources: bool = True,
        latent_check: bool = True,
        image_check: bool = True,
        thresholds: Literal["all", "correct"] = "all",
        max_tries: int = 1000,
    ) -> None:
        super().__init__(image_shape, num_classes)
        if num_classes < 2:
            raise ValueError("ReGene learns codes by classifying: it needs data with labels of at least two classes")
        if max_tries < 1:
            raise ValueError(f"model.max_tries: expected at least 1, got {max_tries}")
        self.options = read_phases(phases, num_classes)
        if unknown := set(classifier or {}) - {"from_run"}:
            raise ValueError(f"model.classifier.{min(unknown)}: no such option{nearest(min(unknown), ['from_run'])}")
        self.encoder = encoder(self.image_shape)
        size = self.encoder.num_features
        self.head = nn.Linear(size, num_classes)  # f_dis
        initialise(self.head, getattr(self.encoder, "init", "torch"))
        self.decoder = decoder(size, self.image_shape)
        channels = self.image_shape[0]
        if self.decoder.channels != channels and channels != 1:
            raise ValueError(
                f"model.decoder.channels: expected {channels} for these images, got {self.decoder.channels}"
            )
        self.prior = prior(num_classes, size)
        self.classifier_loss, self.optimizer, self.perceptual = classifier_loss, optimizer, perceptual
        self.filter_sources, self.latent_check, self.image_check = filter_sources, latent_check, image_check
        self.counted_images, self.max_tries = thresholds, max_tries
        self.register_buffer("thresholds", torch.zeros(num_classes))  # of the image check; 0: not known yet
        self.perceptual_loss: PerceptualLoss | None = None

    def check_options(self) -> None:
        super().check_options()
        self.refuse_own(self.optimizer, "lr", "model.phases.<name>.lr, because each phase has its own")

    # -------------------------------------------------------------------------------------------------------------- phases

    def phases(self) -> tuple[str, ...]:
        return tuple(self.options)

    def begin_phase(self, name: str) -> None:
        """Freeze what the phase does not train.

        Raises:
            Refused: a phase has a perceptual term, and the network's weights are not on disk.
        """
        super().begin_phase(name)
        learns_classes = name == CLASSIFIER
        self.encoder.requires_grad_(learns_classes)
        self.head.requires_grad_(learns_classes)
        self.decoder.requires_grad_(not learns_classes)
        self.train()
        self.schedule = self.options[name].schedule
        if any(getattr(options, "perceptual", 0) for options in self.options.values()):
            PerceptualLoss.check(self.perceptual)  # before the first phase, so that no training is lost
        if getattr(self.options[name], "perceptual", 0):
            self.perceptual_loss = PerceptualLoss(self.perceptual)

    def train(self, mode: bool = True) -> ReGene:
        super().train(mode)
        if self.phase not in ("", CLASSIFIER):  # a frozen classifier keeps its running means and variances
            self.encoder.eval()
        return self

    def configure_optimizers(self) -> torch.optim.Optimizer:
        options = self.options[self.phase or CLASSIFIER]
        return self.optimizer([weight for weight in self.parameters() if weight.requires_grad], lr=options.lr)

    def on_train_epoch_start(self) -> None:
        options = self.options[self.phase]
        if options.drop != 1:
            self.set_rates(self.optimizers(), options.drop ** (self.current_epoch // options.drop_every))

    # ------------------------------------------------------------------------------------------------------------ training

    def training_step(self, batch: Batch, _: int) -> Tensor:
        self.follow_schedule()
        return self.classifier_step(batch) if self.phase == CLASSIFIER else self.decoder_step(batch)

    def classifier_step(self, batch: Batch) -> Tensor:
        logits = self.head(self.codes_of(batch.image)).to(self.head.weight)
        loss = self.classifier_loss(logits, batch.label).mean()  # (3)
        self.track(loss=loss, accuracy=(logits.argmax(1) == batch.label).float().mean())
        return loss

    def decoder_step(self, batch: Batch) -> Tensor:
        options = self.options[self.phase]
        images = self.of_decoded_classes(batch)
        if not len(images):  # a step without a gradient
            return sum(weight.sum() for weight in self.decoder.parameters()) * 0
        with torch.no_grad():
            codes = self.codes_of(images)  # z*
        made = self.decoder(codes).to(codes).sigmoid()
        images = images.to(codes).expand_as(made)
        terms = {"mae": (made - images).abs().mean()}
        if options.ssim:
            terms["ssim"] = 1 - structural_similarity(made, images).mean()
        if options.perceptual:
            terms["perceptual"] = self.perceptual_loss(made, images).mean()
        self.track(**terms)
        return sum(getattr(options, name) * term for name, term in terms.items())  # (6)

    def of_decoded_classes(self, batch: Batch) -> Tensor:
        """Return those images of a batch from which the decoder learns in this phase: (B, C, H, W) → (≤ B, C, H, W)."""
        classes = self.options[self.phase].classes
        if classes is None:
            return batch.image
        return batch.image[torch.isin(batch.label, batch.label.new_tensor(list(classes)))]

    def not_shared(self) -> str | None:
        if any(getattr(options, "classes", None) is not None for options in self.options.values()):
            return "a decoder of some classes takes a mean over a number of images that differs between processes"
        return super().not_shared()

    def on_train_start(self) -> None:
        """Before the last phase, prepare combinations for the grids after its epochs; the codes do not change any more."""
        if self.phase == self.phases()[-1]:
            train, some = self.spread_training_images(PREVIEWED)
            codes = torch.cat([self.encode(train.images(part).to(self.device)) for part in some.split(AT_ONCE)])
            self.prior.fit_roughly(codes, train.labels[some].to(self.device))

    def validation_step(self, batch: Batch, _: int) -> None:
        """Log the loss and the accuracy of the classifier, or the mean absolute error of the decoder, on held-out images."""
        count = len(batch.image)
        if self.phase == CLASSIFIER:
            logits = self.classify(batch.image)
            self.log("val/score", self.classifier_loss(logits, batch.label).mean(), batch_size=count)
            self.log("val/accuracy", (logits.argmax(1) == batch.label).float().mean(), batch_size=count)
        elif len(images := self.of_decoded_classes(batch)):
            self.log("val/score", (self.reconstruct(images) - images).abs().mean(), batch_size=len(images))

    def codes_of(self, images: Tensor) -> Tensor:
        """Return the codes f_enc(X), with gradients: (n, C, H, W) in [0, 1] → (n, D)."""
        weight = self.head.weight
        return self.encoder(images.to(weight)).to(weight)  # in 32 bits, also in mixed precision

    # ---------------------------------------------------------------------------------------------------------- generation

    @torch.no_grad()
    def encode(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the codes z* of images: (n, C, H, W) in [0, 1] → (n, D)."""
        return torch.cat([self.codes_of(part.to(self.device)) for part in images.split(AT_ONCE)])

    @torch.no_grad()
    def decode_codes(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Decode codes to images f_dec(z): (n, D) → (n, C, H, W) in [0, 1]."""
        return torch.cat([self.decoded(part, None) for part in codes.to(self.head.weight).split(AT_ONCE)])

    def decoded(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        made = self.decoder(codes).float().sigmoid()
        return made if made.shape[1] == self.image_shape[0] else made.mean(1, keepdim=True)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return f_dec(f_enc(X)): (n, C, H, W) in [0, 1] → the same."""
        return self.decode_codes(self.encode(images))

    @torch.no_grad()
    def classify(self, images: Tensor) -> Tensor:
        """Return the logits W f_enc(X) + b: (n, C, H, W) in [0, 1] → (n, num_classes)."""
        return self.head(self.encode(images)).to(self.head.weight)

    @torch.no_grad()
    def calibrate(self, images: Tensor, labels: Tensor) -> None:
        """Set each class's threshold to the mean confidence in held-out images of the class; a class without any gets the others' mean.

        Raises:
            ValueError: there is no held-out image.
        """
        logits, labels = self.classify(images), labels.to(self.device)
        sure, right = logits.softmax(1).gather(1, labels[:, None]).squeeze(1), logits.argmax(1) == labels
        counted = right if self.counted_images == "correct" else torch.ones_like(right)
        of_class = [sure[counted & (labels == label)] for label in range(self.num_classes)]
        means = [one.mean() for one in of_class if len(one)]
        if not means:
            raise ValueError(f"thresholds need held-out images ({self.counted_images}), there is none")
        other = torch.stack(means).mean()
        self.thresholds.copy_(torch.stack([one.mean() if len(one) else other for one in of_class]))

    def only_decodes(self) -> str | None:
        if self.latent_check or self.image_check:
            return "new codes are drawn again until the classifier accepts them (model.latent_check, model.image_check)"
        return super().only_decodes()

    def exported_codes(self, labels: Tensor, generator: Generator) -> Tensor:
        """Draw codes that pass the checks, see `CodePriorMethod`."""
        return self.accepted(labels, lambda wanted: self.draw_codes(len(wanted), wanted, generator)).codes

    @torch.no_grad()
    def refit_prior(self, codes: Tensor, labels: Tensor, *, progress: Any = None) -> None:
        if self.filter_sources:
            right = self.head(codes.to(self.head.weight)).argmax(1) == labels
            codes, labels = codes[right], labels[right]
            try:
                self.prior.check(labels)
            except ValueError as error:
                raise ValueError(
                    f"of the codes that are classified correctly (model.filter_sources): {error}"
                ) from error
        super().refit_prior(codes, labels, progress=progress)

    def sample(self, n: int, labels: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        """Draw codes and decode them, until each image passes the checks; see `Method.sample`.

        Raises:
            Failed: too many codes of a class fail the checks.
        """
        self.check_labels(n, labels)
        return self.accepted(labels, lambda wanted: self.draw_codes(len(wanted), wanted, generator)).images

    def combine(
        self,
        labels: Tensor,
        *,
        sources: int,
        spread: Literal["averaged", "kept"],
        checked: bool = True,
        generator: Generator | None = None,
    ) -> Generations:
        """Generate an image of each label from combinations of `sources` codes with equal weights; see `genrun.types.Combines`."""
        if not isinstance(self.prior, ConvexCombinations):
            raise Failed(f"combinations of codes need model/prior=convex, this model has {type(self.prior).__name__}")
        if (least := int(self.prior.counts.min())) < sources:
            raise Failed(
                f"combinations of {sources} codes: a class has {least}; raise model.prior.sources, or use more images"
            )
        return self.accepted(
            labels, lambda wanted: self.prior.combine(wanted, sources, spread, generator=generator), checked=checked
        )

    @torch.no_grad()
    def accepted(self, labels: Tensor, draw: Callable[[Tensor], Tensor], *, checked: bool = True) -> Generations:
        """Draw codes for labels (n,) again and again, until each has one that passes the checks.

        Args:
            draw: labels (m,) → codes (m, D).
            checked: False: keep the first codes.
        """
        n, device = len(labels), labels.device
        known = bool(self.thresholds.any())  # before that, during training, nothing is checked
        checks_code, checks_image = checked and known and self.latent_check, checked and known and self.image_check
        codes = self.head.weight.new_empty(n, self.head.in_features)
        images = torch.empty(n, *self.image_shape, device=device)
        tries, latent_tries = torch.zeros(2, n, dtype=torch.int64, device=device)
        in_class = torch.zeros(n, dtype=torch.bool, device=device)  # a code has passed the latent check
        missing = torch.arange(n, device=device)
        while len(missing):
            wanted = labels[missing]
            drawn = draw(wanted)
            tries[missing] += 1
            latent_tries[missing] += ~in_class[missing]
            kept = torch.arange(len(missing), device=device)
            if checks_code:
                kept = (self.head(drawn.to(self.head.weight)).argmax(1) == wanted).nonzero().squeeze(1)
            in_class[missing[kept]] = True
            made = self.decode_codes(drawn[kept])
            if checks_image and len(made):
                sure = self.classify(made).softmax(1).gather(1, wanted[kept, None]).squeeze(1)
                passed = sure >= self.thresholds[wanted[kept]]
                kept, made = kept[passed], made[passed]
            codes[missing[kept]], images[missing[kept]] = drawn[kept].to(codes), made
            left = torch.ones(len(missing), dtype=torch.bool, device=device)
            left[kept] = False
            missing = missing[left]
            self.check_tries(labels, tries, in_class, missing)
        checks = checks_code or checks_image
        return Generations(images, codes, latent_tries if checks_code else None, tries if checks else None)

    def check_tries(self, labels: Tensor, tries: Tensor, in_class: Tensor, missing: Tensor) -> None:
        """Give up a class of which too few codes pass.

        Raises:
            Failed: fewer than one of `max_tries` passes; the error tells how many passed which check.
        """
        for label in labels[missing].unique().tolist():
            own = labels == label
            drawn, accepted = int(tries[own].sum()), int(own.sum() - (labels[missing] == label).sum())
            if drawn >= self.max_tries * (accepted + 1):
                raise Failed(
                    f"class {label}: {accepted} of {drawn} combinations passed the checks, and {int(in_class[own].sum())} of "
                    f"{int(own.sum())} wanted images found a code that passed the latent check (the image check asks for a "
                    f"confidence of {self.thresholds[label]:.3f}). `genrun refit RUN model.image_check=false` goes on without this "
                    "check, and without another training"
                )


def read_phases(phases: Mapping[str, Mapping[str, Any]], num_classes: int) -> dict[str, PhaseOptions]:
    """Read the options of all phases.

    Raises:
        ValueError: the first phase is not the classifier's, there is none of the decoder, or an option is unknown or out of range.
    """
    if list(phases)[:1] != [CLASSIFIER] or len(phases) < 2:
        raise ValueError(f"model.phases: expected {CLASSIFIER} first, then phases of the decoder, got {list(phases)}")
    read: dict[str, PhaseOptions] = {CLASSIFIER: read_options(PhaseOptions, CLASSIFIER, phases[CLASSIFIER])}
    for name in list(phases)[1:]:
        options = read[name] = read_options(DecoderOptions, name, phases[name])
        if not options.mae + options.ssim + options.perceptual:
            raise ValueError(f"model.phases.{name}: expected a weight above 0 for mae, ssim or perceptual, got none")
        if wrong := [label for label in options.classes or () if not 0 <= label < num_classes]:
            raise ValueError(
                f"model.phases.{name}.classes: expected labels from 0 to {num_classes - 1}, got {wrong[0]}"
            )
    return read
