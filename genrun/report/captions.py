"""What is seen on each figure of a run, in one sentence.

`CAPTIONS` maps the name of a figure, which is its file's name without the ending, to the sentence. `caption_of` takes a path or a file's
name, and gives an empty text for a picture that no stage of genrun draws. The HTML report prints the sentence below the figure, where it
is the alternative text too, and `genrun figures --list` prints it. Whoever adds a figure adds its sentence here: a test fails otherwise.
This module imports nothing, so a list of figures needs no torch.
"""

from __future__ import annotations

import os

CAPTIONS: dict[str, str] = {
    # training
    "curves": "The terms of the loss over the epochs, on training images and on held-out images.",
    "timelapse": "Samples after each epoch, drawn from the same noise: what is learned first, and when it stops changing.",
    "first_last": "Samples after the first epoch beside samples after the last one, drawn from the same noise.",
    "codes": "The codes of training images after the first epoch and at the end, coloured by class.",
    # samples
    "sorted": "The first sample that the reference classifier takes for each class, with its confidence; an empty cell is a missing class.",
    "points": "The data and the samples as points in space and in a plane: they should fill the same surface.",
    "particles": "The samples to which training fitted the method beside new draws, which look as good if it learned more than these.",
    "closest_samples": "Samples at the left, and beside each the other samples most like it: equal images mean that samples repeat.",
    "closest_training": "Samples at the left, and beside each the training images most like it: an equal one means a copy.",
    "originality": "Samples, below each the nearest reconstruction of a training image, and below that the training image itself.",
    "resolution": "One sample at the resolution of the data, enlarged, and drawn at 300 pixels, where its edges stay sharp.",
    "300px": "One sample drawn at 300 × 300 pixels by a method that was trained on smaller images.",
    "zoom": "A film that zooms into one sample: enlarged pixels at the left, the method's own drawing at each resolution at the right.",
    # how samples come about
    "denoising": "How samples come out of noise, from the first step of the sampler to the last one.",
    "sampling": "How samples come about, from the first state of the sampler to the last one.",
    "noising": "How test images turn to noise, as they do in training.",
    "schedule": "How much of the image and how much noise there is at each time of the noising process.",
    # reconstructions and codes
    "reconstruction": "Test images, and below each what the method rebuilds of it.",
    "latent_plane": "Images decoded over the plane of the two directions in which codes vary most: neighbours should change smoothly.",
    "interpolation": "Images decoded on straight lines between the codes of two images, which stand at both ends.",
    "components": "How much codes vary in each principal direction, and codes in two of them: colours apart mean classes apart.",
    "basis": "What single units of the code decode to, with all the others at zero.",
    "class_means": "Images decoded on lines between the mean codes of two classes: one class should turn into the other.",
    "priors": "Samples from a Gaussian for each class with half its covariance, beside samples from the method's own prior.",
    "tsne": "A map of the codes by t-SNE, coloured by class: islands of one colour mean that codes tell the classes apart.",
    "barcodes": "How much each class uses each unit of the code: the darker, the more; few dark bars mean sparse codes.",
    "combinations": "In each class the image of the mean of 2, 3 and 5 codes, above the mean of the pixels of their images.",
    "generations": "Images of the mean of two codes in each class, and images that combine these once more.",
    "matrix": "Images of the mean codes of all pairs of images: one image of the pair stands at the top, the other at the left.",
    # from the judge
    "best_and_worst": "The sixteen samples nearest to a test image in the judge's features, and below them the sixteen furthest off.",
    "blends": "How fidelity and the classifier's accuracy change while training images are blended with their reconstructions.",
    "mixed_training": "How accurate a classifier gets on test images with fewer originals and more generations in its training set.",
    # beside other runs
    "beside": "Test images, and below them what this run and the runs beside it rebuild of them.",
    "beside_curves": "The score on held-out images over the epochs, of this run and the runs beside it.",
    "beside_tsne": "Maps of the codes by t-SNE, of this run and the runs beside it, coloured by class.",
    "beside_interpolation": "Images between the codes of the same two test images, of this run and the runs beside it.",
}  # fmt: skip


def caption_of(file: str | os.PathLike[str]) -> str:
    """Return the sentence for a figure, given its path or file name; an empty text if it is no figure of genrun's."""
    name = os.path.basename(os.fspath(file))
    return CAPTIONS.get(name.partition(".")[0], "")
