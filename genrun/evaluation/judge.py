"""What samples are worth: an honest table that does not know which method made them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

from genrun.data.images import Stored
from genrun.data.module import ImageData
from genrun.errors import Refused
from genrun.evaluation.classifier import LEAST_STEPS, Recipe
from genrun.evaluation.features import RandomConvolutions, Space
from genrun.evaluation.inception import Inception, Unavailable, find_weights
from genrun.evaluation.metrics.frechet import frechet_distance, moments
from genrun.evaluation.metrics.predictions import class_counts, entropy
from genrun.evaluation.real import RealImages, is_binary
from genrun.evaluation.rows.comparison import Comparison
from genrun.evaluation.rows.copying import copying_rows
from genrun.evaluation.rows.recognition import logits_of, recognition_rows, training_rows
from genrun.evaluation.rows.row import Row
from genrun.inference import seeded
from genrun.types import Facts


class Judge:
    """Compares samples with the real images of a data set, and every figure with what real images get in their place.

    Args:
        data: the data set, which is not read where the cache knows enough.
        facts: what it says of itself.
        key: names its images.
        cache: folder in which classifiers and statistics of real images are kept.
        console: for progress.
        seed: of everything that is drawn here.
        device: where networks work.
        classifier: how the reference classifier is made; None: no row that needs one.
        random: whether to compare by random convolutions, which no label has shaped.
        inception: `disk`, `fetch` or a path: where its weights are; None: no such rows.
        neighbours: k of precision, recall, density and coverage; None: without them.
        kernel_draws: subsets for the kernel distance.
        kernel_size: images in one.
        at_infinity: add the Fréchet distance extrapolated to infinitely many samples.
        memorisation: whether to look for copies of training images.
        train_on_generated: steps of the classifier that is trained on samples and tested on real images; 0: without it.
        reconstructions: test images that are reconstructed, by a method that can.
        likelihoods: test images whose bits per dimension or nats are computed, of a method that has a likelihood or a bound of it.
        importance_samples: samples behind the tighter bound of each, of a method that bounds the mass of binarised images; 1: without it.
        class_separation: whether to tell how well pairs of classes are told apart in two components of codes, of a method with codes.
        epoch_samples: images that are drawn and judged at an epoch's end; 0: none.
        epoch_every: epochs between that.
    """

    def __init__(
        self,
        data: ImageData,
        facts: Facts,
        key: str,
        cache: Path,
        console: Console,
        seed: int = 0,
        device: torch.device | str = "cpu",
        classifier: Recipe | None = None,
        random: bool = False,
        inception: str | None = None,
        neighbours: int | None = None,
        kernel_draws: int = 20,
        kernel_size: int = 1000,
        at_infinity: bool = False,
        memorisation: bool = False,
        train_on_generated: int = 0,
        reconstructions: int = 0,
        likelihoods: int = 0,
        importance_samples: int = 1,
        class_separation: bool = False,
        epoch_samples: int = 0,
        epoch_every: int = 1,
    ) -> None:
        for name, value, least in (
            ("neighbours", neighbours, 1),
            ("kernel_draws", kernel_draws, 3),
            ("kernel_size", kernel_size, 2),
            ("reconstructions", reconstructions, 0),
            ("likelihoods", likelihoods, 0),
            ("importance_samples", importance_samples, 1),
            ("epoch_samples", epoch_samples, 0),
            ("epoch_every", epoch_every, 1),
        ):
            if value is not None and value < least:
                raise Refused(f"evaluation.{name}: expected at least {least}, got {value}")
        if train_on_generated and train_on_generated < LEAST_STEPS:
            raise Refused(
                f"evaluation.train_on_generated: expected 0 or at least {LEAST_STEPS}, got {train_on_generated}"
            )
        if inception not in (None, "disk", "fetch") and not Path(inception).expanduser().is_file():
            raise Refused(f"evaluation.inception: expected disk, fetch, null or a file, there is no {inception}")
        self.real = RealImages(data, facts, key, cache, console)
        self.facts, self.cache, self.console = facts, cache, console
        self.seed, self.device = seed, torch.device(device)
        self.recipe = classifier if facts.num_classes > 1 else None
        self.without_classes = classifier is not None and self.recipe is None  # nothing to tell apart
        if self.recipe:
            self.recipe.check(facts)
        self.hashes: dict[str, str] = {}  # of the networks that were used
        self.random, self.inception, self.memorisation = random, inception, memorisation
        self.comparison = Comparison(neighbours, kernel_draws, kernel_size, at_infinity, seed)
        self.train_on_generated = train_on_generated
        self.reconstructions, self.likelihoods = reconstructions, likelihoods
        self.class_separation = class_separation
        self.importance_samples = importance_samples
        self.epoch_samples, self.epoch_every = epoch_samples if self.recipe or random else 0, epoch_every
        if self.epoch_samples and epoch_samples <= (most := self.features()):
            raise Refused(f"evaluation.epoch_samples: expected more than the {most} features, got {epoch_samples}")

    # ------------------------------------------------------------------------------------------------- what is compared in

    @cached_property
    def classifier(self) -> Space:
        """The features of the reference classifier, which is trained now if it never was."""
        return self.space("classifier", self.recipe.reference(self.real, self.device))

    @cached_property
    def label_free(self) -> Space:
        """Random convolutions."""
        return self.space("random", RandomConvolutions(self.facts.image_shape))

    @cached_property
    def in_inception(self) -> Space:
        """Inception's features.

        Raises:
            Unavailable: its weights or torch-fidelity are missing.
        """
        weights = find_weights(self.inception, self.cache, progress=self.console.is_terminal)
        return self.space("Inception", Inception(weights))

    def space(self, name: str, network: nn.Module) -> Space:
        """A space, whose hash is noted."""
        made = Space(name, network, self.device)
        self.hashes[name] = made.hash
        return made

    def ready(self) -> None:
        """Do what the looks after each epoch will need, so that no training waits for it."""
        for space in self.spaces()[:1]:
            self.real.features(space, "validation")

    def spaces(self) -> list[Space]:
        """Those that samples are compared in; the first serves the looks after each epoch."""
        return ([self.classifier] if self.recipe else []) + ([self.label_free] if self.random else [])

    def features(self) -> int:
        """The most features of a space that is compared in, known before any network is trained."""
        network = self.recipe.build(self.facts) if self.recipe else None
        return max(network.num_features if network else 0, self.label_free.num_features if self.random else 0)

    def check(self, n: int, what: str) -> None:
        """Refuse what cannot be judged, before anything is computed.

        Raises:
            Refused: fewer samples than the covariance of their features needs.
        """
        if n <= (most := self.features()):
            raise Refused(
                f"{what}: {n} samples are too few, the judge compares {most} features and needs at least {most + 1}; "
                "draw more, or evaluation=none"
            )

    def labels_of(self, samples: Stored, what: str) -> Tensor | None:
        """The labels (n,) of samples that can be judged; None where they have none.

        Raises:
            Refused: images of another shape, labels out of range, or too few images.
        """
        if samples.shape != self.facts.image_shape:
            got, expected = ("×".join(map(str, shape)) for shape in (samples.shape, self.facts.image_shape))
            raise Refused(f"{what} has images of {got} (C×H×W), the data has {expected}; choose another data=…")
        self.check(len(samples), what)
        if int(samples.labels.min()) < 0:
            return None
        if not self.facts.num_classes:
            raise Refused(
                f"{what} has labels, but the data has no classes; leave `labels` out, or choose another data=…"
            )
        if (largest := int(samples.labels.max())) >= self.facts.num_classes:
            raise Refused(f"{what}: label {largest}, expected 0 to {self.facts.num_classes - 1} as in the data")
        return samples.labels

    # ---------------------------------------------------------------------------------------------------------- the table

    def judge(self, images: Tensor, labels: Tensor | None = None) -> list[Row]:
        """The rows on samples.

        Args:
            images: (n, C, H, W) uint8.
            labels: (n,) int64, the classes that were asked for; None where none were.
        """
        order = torch.randperm(len(images), generator=seeded(self.seed))  # a file may be sorted by class
        images, labels = images[order], None if labels is None else labels[order]
        rows: list[Row] = []
        what = f"features of {len(images):,} samples"
        features = {space.name: space(images, self.console, f"{space.name} {what}") for space in self.spaces()}
        if self.without_classes:
            rows.append(Row("label accuracy", None, note="this data has no classes"))
        if self.recipe:
            rows += recognition_rows(self.real, self.classifier, features["classifier"], images, labels)
        # binary samples are compared with grey images and with binarised ones
        which = (
            [False, True] if is_binary(images) and not is_binary(self.real.images("test").decoded().array) else [False]
        )
        for space in self.spaces():
            for binary in which:
                rows += self.comparison.rows(self.real, space, features[space.name], binary)
        if self.recipe and self.train_on_generated:
            samples = None if labels is None else Stored(array=images, labels=labels)
            rows += training_rows(self.real, self.recipe, samples, self.train_on_generated, self.device)
        if self.memorisation:
            of_samples = features["random"] if self.random else self.label_free(images)
            for binary in which:
                rows += copying_rows(self.real, self.label_free, of_samples, binary)
        if self.inception:
            rows += self.by_inception(images)
        return rows

    def by_inception(self, images: Tensor) -> list[Row]:
        """The same distances in Inception's features, for comparison with the literature; a row says so when they cannot be had."""
        few, why = len(images) <= Inception.num_features, []
        if few:
            why.append(f"needs more than {Inception.num_features} samples, got {len(images)}")
        try:
            if not few or self.inception != "fetch":  # nothing is downloaded in vain
                space = self.in_inception
        except Unavailable as error:
            why.append(str(error))
            if self.inception == "fetch":  # in full: a table would cut the address
                self.console.print(str(error), highlight=False, markup=False, soft_wrap=True)
        if why:
            return [Row("Fréchet distance (Inception)", None, note="; ".join(why))]
        samples = space(images, self.console, f"Inception features of {len(images):,} samples")
        return self.comparison.rows(self.real, space, samples)

    # ------------------------------------------------------------------------------------------------------- in an epoch

    def glance(self, images: Tensor, labels: Tensor | None = None) -> dict[str, float]:
        """A cheap look at few samples, against held-out training images, never against test images.

        Args:
            images: (n, C, H, W) uint8.
            labels: (n,) int64, the classes that were asked for; None where none were.

        Returns:
            `label_accuracy` and `class_entropy` where there are classes; `frechet` and `kernel` where there are held-out images
            enough, in the classifier's features, or in random ones where there are no classes.
        """
        space = next(iter(self.spaces()), None)
        if space is None:
            return {}
        features, result = space(images), {}
        if self.recipe:
            predicted = logits_of(self.classifier, features).argmax(1)
            result["class_entropy"] = entropy(class_counts(predicted, self.facts.num_classes))
            if labels is not None:
                result["label_accuracy"] = (predicted == labels).double().mean().item()
        held_out = self.real.features(space, "validation")
        if len(held_out) > space.num_features:
            result["frechet"] = frechet_distance(moments(features), moments(held_out))
            result["kernel"], _ = self.comparison.kernel(features, held_out)
        return result
