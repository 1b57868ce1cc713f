"""What a subject remembers of a network that nobody trains any further, and forgets of one in training."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from triptych.data.stream import as_floats
from triptych.evaluation.subject import BLOCK, Subject, generator
from triptych.types import DataSpec, Method
from triptych.weights import Weights


class Scaled(Method):
    """Features are the pixels times a weight; counts the images that it was asked for."""

    Config = object
    gauge = "loss"

    def __init__(self, factor: float) -> None:
        super().__init__(None, DataSpec((1, 4, 4), "grey"))
        self.factor = nn.Parameter(torch.tensor(factor))
        self.asked = 0

    def phases(self):
        return ()

    def losses(self, phase, batch, noise, progress):
        raise NotImplementedError

    def encode(self, x):
        self.asked += len(x)
        return x.flatten(1) * self.factor


@pytest.fixture
def subject(planted) -> Subject:
    data = planted(train=BLOCK + 7)
    return Subject(Scaled(2.0).eval(), data, "none", torch.device("cpu"))


def test_features_are_of_every_image_in_order(subject: Subject):
    pixels = torch.from_numpy(subject.dataset.splits["train"].pixels.copy())
    expected = 2 * (pixels.float() / 255).flatten(1)
    assert torch.equal(subject.features("train"), expected)


def test_known_weights_encode_a_split_once(subject: Subject):
    known = replace(subject, weights="0a1b")
    assert torch.equal(known.features("train"), known.features("train"))
    assert known.method.asked == BLOCK + 7
    known.features("test")
    assert known.method.asked == BLOCK + 7 + 20


def test_weights_in_training_are_asked_each_time(subject: Subject):
    before = subject.features("test")
    with torch.no_grad():
        subject.method.factor.mul_(2)
    assert torch.equal(subject.features("test"), 2 * before)


@pytest.mark.parametrize("binarize", ["none", "threshold", "dynamic"])
def test_a_part_has_the_images_of_its_blocks(planted, binarize):
    made = Subject(Scaled(1.0), planted(train=2 * BLOCK + 7), binarize, torch.device("cpu"))
    whole = torch.cat([x for _, x in made.blocks("train")])
    for start, stop in ((0, 30), (BLOCK - 3, BLOCK + 3), (10, 2 * BLOCK + 7)):
        assert torch.equal(made.part("train", start, stop), whole[start:stop])
    assert torch.equal(made.features("train"), whole.flatten(1))
    assert torch.equal(made.encoded(whole), whole.flatten(1))


def test_examples_in_blocks_are_drawn_as_at_once(planted):
    """Dynamic binarization takes its numbers from one stream, however many are asked for at a time."""
    made = Subject(Scaled(1.0), planted(train=2 * BLOCK), "dynamic", torch.device("cpu"))
    count = BLOCK + 33
    levels = made.levels("train", count)
    expected = as_floats(levels, "dynamic", generator(torch.device("cpu"), "examples", "train"))
    assert [len(x) for x in made.example_blocks("train", count)] == [BLOCK, 33]
    assert torch.equal(made.examples("train", count), expected)


def test_other_weights_have_features_of_their_own(subject: Subject):
    known = replace(subject, weights="0a1b")
    first = known.features("test")
    other = known.with_weights(Scaled(6.0).eval(), Weights("last", 9, "ffff"))
    assert torch.equal(other.features("test"), 3 * first)
    assert torch.equal(known.features("test"), first)
