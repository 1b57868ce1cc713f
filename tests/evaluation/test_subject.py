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


def test_a_thinned_subject_has_every_second_image_with_its_label(subject: Subject):
    whole = subject.dataset.splits
    known = replace(subject, dataset=replace(subject.dataset, fingerprint="0a1b"))
    fewer = known.thinned({"train": 300}).dataset
    assert len(fewer.splits["train"]) == 254
    assert (fewer.splits["train"].pixels == whole["train"].pixels[::2]).all()
    assert (fewer.splits["train"].labels == whole["train"].labels[::2]).all()
    assert fewer.splits["train"].pixels.base is not None
    assert fewer.splits["test"] is whole["test"]
    assert fewer.fingerprint not in ("", "0a1b")


def test_a_subject_with_no_more_images_than_are_wanted_is_itself(subject: Subject):
    assert subject.thinned({"train": BLOCK + 7, "test": 10**6}) is subject


def test_a_thinned_subject_forgets_where_the_images_that_it_has_not_are(subject: Subject):
    placed = {k: (v.pixels, torch.empty(0)) for k, v in subject.dataset.splits.items()}
    fewer = replace(subject, placed=placed).thinned({"train": 300})
    assert fewer.placed.keys() == placed.keys() - {"train"}


def test_a_thinned_subject_without_a_fingerprint_gets_none(subject: Subject):
    bare = replace(subject, dataset=replace(subject.dataset, fingerprint=""))
    assert bare.thinned({"train": 300}).dataset.fingerprint == ""
