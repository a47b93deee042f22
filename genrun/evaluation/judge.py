"""The judge: it computes the table of metrics of samples, without knowing which method made them."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from genrun.data.images import Stored
from genrun.data.module import ImageData
from genrun.errors import Refused
from genrun.evaluation.classifier import Recipe
from genrun.evaluation.inception import Inception, Unavailable
from genrun.evaluation.limits import check_enough, check_epoch_samples, check_numbers
from genrun.evaluation.metrics.frechet import frechet_distance, moments
from genrun.evaluation.metrics.neighbours import Neighbours, nearest
from genrun.evaluation.metrics.predictions import class_counts, entropy
from genrun.evaluation.observer import ObserverRecipe
from genrun.evaluation.real import RealImages, is_binary
from genrun.evaluation.rows.comparison import Comparison
from genrun.evaluation.rows.copying import copying_rows
from genrun.evaluation.rows.dependence import dependence_rows
from genrun.evaluation.rows.equivalents import in_words
from genrun.evaluation.rows.feature_likelihood import likelihood_divergence_rows
from genrun.evaluation.rows.flaws import flaw_rows
from genrun.evaluation.rows.mixed_training import check_shares
from genrun.evaluation.rows.recognition import logits_of, recognition_rows, training_rows
from genrun.evaluation.rows.row import Row
from genrun.evaluation.rows.sliced import sliced_row
from genrun.evaluation.spaces import FeatureSpaces
from genrun.inference import seeded
from genrun.system.console import say
from genrun.types import Facts


class Judge(FeatureSpaces):
    """Compares samples with the real images of a data set, and each metric with the value that real images get.

    Args:
        data: the data set, which is not read if the cache holds all results.
        facts: the facts of this data set.
        key: identifies the images in the cache.
        cache: folder for classifiers and statistics of real images.
        console: where progress is shown.
        seed: seed of all random draws of the judge.
        device: where networks run.
        classifier: network and training of the reference classifier, which recognises classes; None: no rows that need it.
        observer: network and training of the observer, in whose features images are compared; None: without it.
        random: whether to compare in features of random convolutions, too, which are a second witness.
        robust: whether to compare in the features of the reference classifier, too, as tables did before there was an observer. They
            are used in any case if there is neither an observer nor `random`.
        inception: where Inception's weights are: `disk`, `fetch` or a path; None: no rows in Inception features.
        neighbours: k of precision, recall, density and coverage; None: without these metrics.
        kernel_draws: number of subsets for the kernel distance.
        kernel_size: images in a subset.
        at_infinity: add the Fréchet distance extrapolated to infinitely many samples.
        memorisation: whether to look for copies of training images, and for samples that depend on each other.
        plain_words: say which blur and which fog of real images each Fréchet distance equals, and count flawed samples.
        sliced: number of random directions of the sliced Wasserstein distance of pixels; 0: without it.
        train_on_generated: training steps of a classifier that is trained on samples and tested on real images; 0: none.
        reconstructions: number of test images to reconstruct, if the method can.
        likelihoods: number of test images for bits per dimension or nats, if the method has a likelihood or a bound of it.
        importance_samples: samples per image for a tighter bound, if the method bounds the mass of binarised images;
            1: without this bound.
        class_separation: whether to measure how well pairs of classes are separated in two components of the codes,
            if the method has codes.
        linear_probe: number of codes for a linear probe and the sparsity of codes, if the method has codes; 0: neither.
        combinations: number of images in a draw of combinations of codes, if the method combines codes; 0: none.
        blends: number of training images that are blended with their reconstructions, if the method can; 0: none.
        mixed_training: shares of original images, from 0 to 2, in sets on which classifiers are trained (see `rows.mixed_training`).
        epoch_samples: number of samples that are drawn and judged at the end of an epoch; 0: none.
        epoch_every: epochs from one such check to the next.
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
        observer: ObserverRecipe | None = None,
        random: bool = False,
        robust: bool = False,
        inception: str | None = None,
        neighbours: int | None = None,
        kernel_draws: int = 20,
        kernel_size: int = 1000,
        at_infinity: bool = False,
        memorisation: bool = False,
        plain_words: bool = False,
        sliced: int = 0,
        train_on_generated: int = 0,
        reconstructions: int = 0,
        likelihoods: int = 0,
        importance_samples: int = 1,
        class_separation: bool = False,
        linear_probe: int = 0,
        combinations: int = 0,
        blends: int = 0,
        mixed_training: list[float] | None = None,
        epoch_samples: int = 0,
        epoch_every: int = 1,
    ) -> None:
        check_numbers(
            {
                "neighbours": neighbours,
                "kernel_draws": kernel_draws,
                "kernel_size": kernel_size,
                "sliced": sliced,
                "train_on_generated": train_on_generated,
                "reconstructions": reconstructions,
                "likelihoods": likelihoods,
                "importance_samples": importance_samples,
                "linear_probe": linear_probe,
                "combinations": combinations,
                "blends": blends,
                "epoch_samples": epoch_samples,
                "epoch_every": epoch_every,
            }
        )
        mixed_training = mixed_training or []
        check_shares(mixed_training, train_on_generated if classifier else 0)
        real = RealImages(data, facts, key, cache, console)
        super().__init__(real, cache, console, torch.device(device), classifier, observer, random, robust, inception)
        self.seed, self.memorisation, self.plain_words = seed, memorisation, plain_words
        self.comparison = Comparison(neighbours, kernel_draws, kernel_size, at_infinity, seed)
        self.sliced, self.train_on_generated = sliced, train_on_generated
        self.reconstructions, self.likelihoods = reconstructions, likelihoods
        self.class_separation, self.linear_probe = class_separation, linear_probe
        self.combinations, self.blends = combinations, blends
        self.mixed_training = [float(share) for share in mixed_training]
        self.importance_samples = importance_samples
        self.epoch_samples, self.epoch_every = epoch_samples if self.recipe or self.spaces_asked() else 0, epoch_every
        if self.epoch_samples:
            check_epoch_samples(epoch_samples, self.max_features())

    def check(self, n: int, what: str) -> None:
        """Check that n samples are enough to be judged, before anything is computed.

        Args:
            n: number of samples.
            what: where they come from, for the error message.

        Raises:
            Refused: too few samples for the covariance of their features.
        """
        check_enough(n, self.max_features(), what)

    def labels_of(self, samples: Stored, what: str) -> Tensor | None:
        """Check that samples can be judged and return their labels (n,); None if they have none.

        Args:
            samples: the samples.
            what: where they come from, for the error message.

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
        """Return the rows of all metrics of samples.

        Args:
            images: (n, C, H, W) uint8.
            labels: (n,) int64, the classes that the samples were drawn for; None: no labels.
        """
        order = torch.randperm(len(images), generator=seeded(self.seed))  # a file may be sorted by class
        images, labels = images[order], None if labels is None else labels[order]
        rows: list[Row] = []
        what = f"features of {len(images):,} samples"
        spaces = self.spaces()
        features = {
            space.name: space(images, self.console, f"{space.name} {what}")
            for space in dict.fromkeys([*([self.classifier] if self.recipe else []), *spaces])
        }
        if self.without_classes:
            rows.append(Row("label accuracy", None, note="this data has no classes"))
        if self.recipe:
            rows += recognition_rows(self.real, self.classifier, features[self.classifier.name], images, labels)
        # compare binary samples with grey images and with binarised images
        which = (
            [False, True] if is_binary(images) and not is_binary(self.real.images("test").decoded().array) else [False]
        )
        among = self.among(features[spaces[0].name]) if spaces else None
        for space in spaces:
            for binary in which:
                known = among if space is spaces[0] else None
                rows += self.comparison.rows(self.real, space, features[space.name], binary, known)
        if self.memorisation and among:
            in_order = torch.empty_like(order)
            in_order[order] = torch.arange(len(order))
            ordered = [images[in_order], features[spaces[0].name][in_order]]
            ordered.append(None if labels is None else labels[in_order])
            rows += dependence_rows(self.real, spaces[0], *ordered, among, which[-1])
        if self.plain_words:
            rows = in_words(rows, self.real, spaces) + flaw_rows(self.real, images)
        if self.sliced:
            rows.append(sliced_row(self.real, images, self.sliced, self.seed))
        if self.recipe and self.train_on_generated:
            samples = None if labels is None else Stored(array=images, labels=labels)
            rows += training_rows(self.real, self.recipe, samples, self.train_on_generated, self.device)
        if self.memorisation:
            of_samples = features["random"] if self.random else self.random_space(images)
            for binary in which:
                rows += copying_rows(self.real, self.random_space, of_samples, binary)
                if spaces:
                    rows += likelihood_divergence_rows(self.real, spaces[0], features[spaces[0].name], binary)
        if self.inception:
            rows += self.by_inception(images)
        return rows

    def among(self, features: Tensor) -> Neighbours | None:
        """Return the nearest neighbours of samples among each other, as far as they are compared by neighbours; None: not needed.

        Args:
            features: (n, d), of the samples.
        """
        k = self.comparison.neighbours or int(self.memorisation)
        some = features[: len(self.real.features(self.headline, "test"))]
        return Neighbours(*nearest(some, some, k, same=True)) if 0 < k < len(some) else None

    def by_inception(self, images: Tensor) -> list[Row]:
        """Return rows of distances in Inception features, as in the literature, or a row that says why there are none."""
        few, why = len(images) <= Inception.num_features, []
        if few:
            why.append(f"needs more than {Inception.num_features} samples, got {len(images)}")
        try:
            if not few or self.inception != "fetch":  # with too few samples a download would be useless
                space = self.inception_space
        except Unavailable as error:
            why.append(str(error))
            if self.inception == "fetch":  # print it in full, because a table would cut the address
                say(self.console, str(error))
        if why:
            return [Row("Fréchet distance (Inception)", None, note="; ".join(why))]
        samples = space(images, self.console, f"Inception features of {len(images):,} samples")
        return self.comparison.rows(self.real, space, samples)

    def from_best_to_worst(self, images: Tensor) -> Tensor:
        """Return the indices (n,) of samples (n, C, H, W) uint8, ordered by their distance to the nearest test image.

        The distance is measured in the features of the headline. It is not divided by how far apart the test images lie there: beside
        rare test images anything would count as good.
        """
        test = self.real.features(self.headline, "test")
        return nearest(self.headline(images), test)[0][:, 0].argsort(stable=True)

    # ---------------------------------------------------------------------------------------------------- after an epoch

    def glance(self, images: Tensor, labels: Tensor | None = None) -> dict[str, float]:
        """Compute cheap metrics of few samples, compared with held-out training images, never with test images.

        Args:
            images: (n, C, H, W) uint8.
            labels: (n,) int64, the classes that the samples were drawn for; None: no labels.

        Returns:
            `class_entropy` if there is a classifier, and `label_accuracy` if there are labels too. `frechet` and `kernel` if there
            are enough held-out images; they use the observer's features, or random convolutions without an observer.
        """
        result = {}
        if self.recipe:
            predicted = logits_of(self.classifier, self.classifier(images)).argmax(1)
            result["class_entropy"] = entropy(class_counts(predicted, self.facts.num_classes))
            if labels is not None:
                result["label_accuracy"] = (predicted == labels).double().mean().item()
        if (space := self.headline) is None:
            return result
        features, held_out = space(images), self.real.features(space, "validation")
        if len(held_out) > space.num_features:
            result["frechet"] = frechet_distance(moments(features), moments(held_out))
            result["kernel"], _ = self.comparison.kernel(features, held_out)
        return result
