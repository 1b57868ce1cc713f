"""The studies that come with Triptych: each loads, each arm's method can be built on its data, and arms differ in what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from triptych import presets
from triptych.data.catalog import CATALOG
from triptych.data.spec import Dataset, Images
from triptych.evaluation.likelihood.estimates import elbo
from triptych.evaluation.likelihood.posterior import active_units
from triptych.evaluation.subject import Subject
from triptych.experiment import ExperimentConfig
from triptych.records import flat
from triptych.studies.plan import Study, find, load
from triptych.studies.values import Number, measured_alike, one_protocol
from triptych.training.step import images_per_step
from triptych.types import DataSpec, Method, capabilities


def spec_of(config: ExperimentConfig) -> DataSpec:
    entry = CATALOG[config.data.name]
    kind = "colour" if entry.shape[0] == 3 else "grey"
    return DataSpec(entry.shape, "binary" if "binarized" in entry.name else kind)


def built(config: ExperimentConfig, device: str = "meta") -> Method:
    spec = spec_of(config)
    with torch.device(device):
        return config.kind(config.kind.resolve(config.method, spec), spec)


def packaged(name: str) -> Study:
    return load(find(name))


def changes(study: Study, arm: str, base: str) -> dict[str, Any]:
    """The options in which an arm differs from another of its method."""
    ours, theirs = (flat(study.arms[a].tables()) for a in (arm, base))
    assert ours.keys() == theirs.keys()
    return {key: value for key, value in ours.items() if value != theirs[key]}


@pytest.mark.parametrize("name", sorted(presets.studies()))
def test_every_study_loads_and_every_arm_can_be_built_on_its_data(name: str):
    study = packaged(name)
    assert len(study.arms) > 1
    for arm, config in study.arms.items():
        method = built(config)
        assert [phase for phase in method.phases() if phase.groups], arm
        assert config.train.batch_size >= method.smallest_batch
        if any(metric.startswith("critic/") for metric in study.config.metrics):
            assert "LipschitzCritic" in capabilities(method), f"{arm} is not asked how steep it is"


def test_the_games_differ_by_their_loss_and_by_nothing_else():
    """As many updates of either player, on as many images, and one constraint: that of one arm is what it is called by."""
    study = packaged("game-losses")
    assert len(study.arms) == 6
    for arm in (a for a in study.arms if a != "wasserstein-two-sided"):
        assert changes(study, arm, "non-saturating").keys() <= {"method.loss"}
        assert arm.removesuffix("-one-sided") == study.arms[arm].method.loss
    last = changes(study, "wasserstein-two-sided", "wasserstein-one-sided")
    assert last == {"method.penalty": "two-sided"}
    phases = {arm: built(config).phases() for arm, config in study.arms.items()}
    assert {arm: images_per_step(of) for arm, of in phases.items()} == {
        arm: 2 if arm == "relativistic" else 1 for arm in phases
    }


def test_the_agreements_share_what_the_study_says_and_each_has_one_variant_without_its_guard():
    study = packaged("agreement-methods")
    own = [arm for arm in study.arms if arm not in study.of]
    assert sorted(own) == sorted(study.of.values())
    for variant, base in study.of.items():
        (option,) = changes(study, variant, base)
        assert option.startswith("method.")
    methods = {arm: built(config) for arm, config in study.arms.items()}
    first = methods[own[0]]
    for arm, method in methods.items():
        assert method.views == first.views
        assert study.arms[arm].train == study.arms[own[0]].train
        assert study.arms[arm].data == study.arms[own[0]].data
        shapes = [(k, v.shape) for k, v in method.get_submodule("backbone").state_dict().items()]
        assert shapes == [(k, v.shape) for k, v in first.backbone.state_dict().items()]


def test_the_likelihoods_are_measured_in_one_way():
    """With other priors and levels, whose divergence is computed otherwise."""
    study = packaged("likelihood-models")
    assert len({config.train for config in study.arms.values()}) == 1
    draw = np.random.default_rng(0)
    images = Images(draw.integers(0, 2, (6, 1, 28, 28), np.uint8) * 255, None)
    dataset = Dataset("d", "D", {s: images for s in ("train", "valid", "test")}, None, "binary", "")
    found: dict[str, dict[str, dict[int, Number]]] = {}
    for arm, config in study.arms.items():
        method, device = built(config, "cpu").eval(), torch.device("cpu")
        subject = Subject(method, dataset, "none", device, method_name=config.method_name)
        measured = elbo(subject, "test") | active_units(subject, "test")
        for name in ("test/elbo", "test/kl", "latent/active_units"):
            number = {0: Number(measured[name].value, measured[name].protocol)}
            found.setdefault(name, {})[arm] = number
    # The code of a lower level is no posterior mean: that is counted apart.
    alike, others = measured_alike(found.pop("latent/active_units"), "vae")
    assert (set(alike), set(others)) == ({"vae", "iwae", "vae-vamp"}, {"hvae", "hvae-vamp"})
    for values in found.values():
        assert one_protocol(values)["split"] == "test"
