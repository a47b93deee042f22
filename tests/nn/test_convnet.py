"""The networks that classify: shapes, gradients, and no image that sees its neighbours."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genrun.nn.convnet import ConvNet
from genrun.nn.resnet import ResNet

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (3, 8, 12)]


@pytest.mark.parametrize("image_shape", SHAPES)
@pytest.mark.parametrize("network, num_features", [(ConvNet, 128), (ResNet, 64)])
def test_logits_are_the_head_of_the_features(network, num_features, image_shape):
    torch.manual_seed(0)
    classifier, images = network(image_shape, 7).eval(), torch.rand(2, *image_shape)
    features = classifier.features(images)
    assert classifier.num_features == num_features
    assert features.shape == (2, num_features)
    assert classifier(images).shape == (2, 7)
    torch.testing.assert_close(classifier(images), classifier.head(features))


@pytest.mark.parametrize("image_shape", [(1, 8, 8), (3, 32, 32)])
@pytest.mark.parametrize("network", [ConvNet, ResNet])
def test_the_gradient_reaches_every_parameter(network, image_shape):
    torch.manual_seed(0)
    classifier = network(image_shape, 7)
    nn.functional.cross_entropy(classifier(torch.rand(4, *image_shape)), torch.arange(4)).backward()
    for name, parameter in classifier.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_an_image_is_classified_alone_as_in_a_batch():
    torch.manual_seed(0)
    images = torch.rand(5, 1, 28, 28)
    for classifier in (ConvNet((1, 28, 28), 10).eval(), ResNet((1, 28, 28), 10, depth=8).eval()):
        alone = torch.cat([classifier(image[None]) for image in images])
        torch.testing.assert_close(classifier(images), alone)
