"""The feature spaces in which the judge compares images: which are asked for, and their networks, which are made when first needed."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from genrun.errors import Refused
from genrun.evaluation.classifier import Recipe
from genrun.evaluation.features import RandomConvolutions, Space
from genrun.evaluation.inception import Inception, find_weights
from genrun.evaluation.limits import NUM_FEATURES
from genrun.evaluation.observer import ObserverRecipe
from genrun.evaluation.real import RealImages


class FeatureSpaces:
    """The feature spaces for one data set; for the options see `genrun.evaluation.judge.Judge`.

    Raises:
        Refused: the options of a network do not fit the data, or the file with Inception's weights does not exist.
    """

    def __init__(
        self,
        real: RealImages,
        cache: Path,
        console: Console,
        device: torch.device,
        classifier: Recipe | None,
        observer: ObserverRecipe | None,
        random: bool,
        robust: bool,
        inception: str | None,
    ) -> None:
        if inception not in (None, "disk", "fetch") and not Path(inception).expanduser().is_file():
            raise Refused(f"evaluation.inception: expected disk, fetch, null or a file, there is no {inception}")
        self.real, self.facts, self.cache, self.console, self.device = real, real.facts, cache, console, device
        self.recipe = classifier if self.facts.num_classes > 1 else None
        self.without_classes = classifier is not None and self.recipe is None  # the data has no classes
        self.observing = observer
        for recipe in filter(None, (self.recipe, self.observing)):
            recipe.check(self.facts)
        self.random, self.inception = random, inception
        self.robust = self.recipe is not None and (robust or not (observer or random))
        self.hashes: dict[str, str] = {}  # name → hash of each network that was used

    @cached_property
    def classifier(self) -> Space:
        """Return the feature space of the reference classifier, which is trained now if the cache does not hold it."""
        return self.space("robust classifier", self.recipe.reference(self.real, self.device))

    @cached_property
    def observer(self) -> Space:
        """Return the feature space of the observer, which is trained now if the cache does not hold it."""
        return self.space("observer", self.observing.observer(self.real, self.device))

    @cached_property
    def random_space(self) -> Space:
        """Return the feature space of random convolutions, which use no labels."""
        return self.space("random", RandomConvolutions(self.facts.image_shape))

    @cached_property
    def inception_space(self) -> Space:
        """Return the feature space of Inception.

        Raises:
            Unavailable: the weights or torch-fidelity are missing.
        """
        weights = find_weights(self.inception, self.cache, progress=self.console.is_terminal)
        return self.space("Inception", Inception(weights))

    def space(self, name: str, network: nn.Module) -> Space:
        """Make a feature space of a network and record the network's hash."""
        made = Space(name, network, self.device)
        self.hashes[name] = made.hash
        return made

    def ready(self) -> None:
        """Prepare what `glance` needs after each epoch, so that training does not wait for it."""
        if self.recipe:
            self.classifier  # noqa: B018 it is trained now
        if self.headline:
            self.real.features(self.headline, "validation")

    def spaces_asked(self) -> list[str]:
        """Return the names of the properties with the feature spaces in which samples are compared, the headline first."""
        asked = {"observer": self.observing, "random_space": self.random, "classifier": self.robust}
        return [name for name, wanted in asked.items() if wanted]

    def spaces(self) -> list[Space]:
        """Return the feature spaces in which samples are compared; the first one is the headline."""
        return [getattr(self, name) for name in self.spaces_asked()]

    @property
    def headline(self) -> Space | None:
        """Return the feature space of the headline; None if nothing is compared."""
        return next((getattr(self, name) for name in self.spaces_asked()), None)

    def max_features(self) -> int:
        """Return the number of features of the largest feature space; no network is trained for this."""
        lengths = {"observer": lambda: NUM_FEATURES, "random_space": lambda: self.random_space.num_features}
        lengths["classifier"] = lambda: self.recipe.build(self.facts).num_features
        return max((lengths[name]() for name in self.spaces_asked()), default=0)
