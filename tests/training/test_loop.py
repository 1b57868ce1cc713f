"""The loop against loops written out: phases, noise, rates, means, and losses that are not finite."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn

from triptych import checkpoint, experiment
from triptych.config import Duration, OptimizerConfig, merge
from triptych.errors import TriptychError
from triptych.runs import Run
from triptych.training.optim import PhaseOptimizer, learning_rate
from triptych.training.step import draw_noise
from triptych.types import Group, Losses, Noise, Phase

SGD = OptimizerConfig("sgd", lr=0.05, momentum=0.9, weight_decay=0.01)
ADAM = OptimizerConfig("adam", lr=0.05, betas=(0.5, 0.9), weight_decay=0.01)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (0.0, 0.0),
        (0.1, 1.0),
        (0.2, 2.0),
        (0.4, 2.0 * (0.5 + math.sqrt(0.5) / 2)),
        (0.6, 1.0),
        (1.0, 0.0),
    ],
)
def test_the_rate_warms_up_and_follows_half_a_cosine(progress: float, expected: float):
    config = OptimizerConfig(lr=2.0, warmup=0.2, schedule="cosine")
    assert learning_rate(config, progress) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("progress", "expected"), [(0.0, 0.0), (0.05, 1.0), (0.1, 2.0), (0.99, 2.0)]
)
def test_the_rate_warms_up_and_stays(progress: float, expected: float):
    config = OptimizerConfig(lr=2.0, warmup=0.1)
    assert learning_rate(config, progress) == pytest.approx(expected, abs=1e-12)


class One(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Linear(1, 1, bias=False)


def test_each_update_moves_by_the_scheduled_rate():
    """SGD without momentum on a gradient of one: every step is the rate itself."""
    config = OptimizerConfig("sgd", lr=0.5, momentum=0.0, warmup=0.25, schedule="cosine")
    model = One().double()
    optimizer = PhaseOptimizer(model, Phase("p", (Group(("part",), config),)), torch.zeros(()))
    for step in range(8):
        before = model.part.weight.item()
        model.part.weight.grad = torch.ones(1, 1, dtype=torch.float64)
        optimizer.step(torch.tensor(optimizer.scheduled(step / 8), dtype=torch.float64))
        moved = before - model.part.weight.item()
        assert moved == pytest.approx(learning_rate(config, step / 8), abs=1e-12)


@pytest.mark.parametrize(("config", "kind"), [(SGD, torch.optim.SGD), (ADAM, torch.optim.Adam)])
def test_training_is_the_plain_loop(trainer, kinds, config: OptimizerConfig, kind):
    """Batches and noise from their seeds, a plain optimizer of PyTorch's, nothing else."""
    trained, _, _ = trainer("run", optimizer=config)
    plain = trainer.build(kinds["regression"], kinds["regression"].Config(optimizer=config))
    same = {"lr": config.lr, "weight_decay": config.weight_decay}
    own = {"momentum": 0.9} if kind is torch.optim.SGD else {"betas": config.betas}
    optimizer = kind(plain.parameters(), **same, **own, fused=False, foreach=False)
    stream, record = trainer.stream(), spied_noise(trainer, kinds)
    for step in range(24):
        x = stream.batch(step).x.flatten(1)
        loss = (plain.net(x) - record[step]).square().sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(trained.net.weight, plain.net.weight, rtol=1e-4, atol=1e-5)


def spied_noise(trainer, kinds) -> list[torch.Tensor]:
    """The noise of every step, seen by a method that leaves its weights alone."""
    seen = []

    class Spy(kinds["regression"]):
        def losses(self, phase, batch, noise, progress):
            seen.append(noise["y"].clone())
            return super().losses(phase, batch, noise, progress)

    trainer("spy", Spy)
    return seen


def test_noise_is_new_at_each_step_and_of_its_kind(trainer, kinds):
    noise = torch.stack(spied_noise(trainer, kinds))
    assert len(noise.flatten().unique()) == noise.numel()
    wanted = {"a": Noise((3, 5)), "b": Noise((), "uniform")}
    drawn = draw_noise(wanted, 20_000, torch.Generator().manual_seed(0))
    assert drawn["a"].shape == (20_000, 3, 5)
    assert drawn["a"].mean().abs() < 4 / math.sqrt(300_000)
    assert drawn["a"].std().item() == pytest.approx(1, abs=4 / math.sqrt(600_000))
    assert 0 <= drawn["b"].min() < drawn["b"].max() < 1
    assert drawn["b"].mean().item() == pytest.approx(0.5, abs=4 / math.sqrt(12 * 20_000))
    alone = draw_noise({"c": Noise((3, 5), shared=True)}, 20_000, torch.Generator().manual_seed(0))
    assert alone["c"].shape == (3, 5)


def test_a_game_updates_each_player_in_its_phase_on_fresh_batches(trainer, kinds):
    method, _, _ = trainer("run", kinds["game"], repeats=3, steps=10, optimizer=SGD)
    seen, stream = method.seen, trainer.stream()
    assert [s["phase"] for s in seen] == ["critic", "critic", "critic", "generator"] * 10
    assert [s["index"] for s in seen] == [stream.batch(i).index.tolist() for i in range(40)]
    assert len({s["noise"].sum().item() for s in seen}) == 40
    assert method.steps_done == pytest.approx([step / 10 for step in range(10)])
    for number, (now, later) in enumerate(zip(seen, [*seen[1:], None], strict=True)):
        assert now["progress"] == pytest.approx((number // 4) / 10)
        assert all(name.startswith(now["phase"]) for name in now["trains"])
        assert len(now["trains"]) == 2
        after = later["weights"] if later else dict(method.named_parameters())
        for name, before in now["weights"].items():
            changed = not torch.equal(before, after[name])
            # A bias of a critic that is maximised gets no gradient from the gap; the weights always do.
            if name.endswith("weight"):
                assert changed == name.startswith(now["phase"])
            elif not name.startswith(now["phase"]):
                assert not changed


def test_an_epoch_of_a_game_is_all_the_images_once(trainer, kinds):
    """Five batches an epoch and two a step: after 5 steps every batch of two epochs was used."""
    method, run, _ = trainer("run", kinds["game"], steps=5)
    counts = Counter(i for s in method.seen for i in s["index"])
    assert sum(counts.values()) == 80
    assert run.metrics()[-1]["epoch"] == pytest.approx(2.0), "10 of 5 batches an epoch"


def test_a_logged_line_is_the_mean_over_its_steps_and_no_others(trainer):
    _, run, _ = trainer("run", steps=10, train={"log_every": 4})
    stream = trainer.stream()
    means = [stream.batch(i).index.double().mean().item() for i in range(10)]
    expected = [sum(means[:4]) / 4, sum(means[4:8]) / 4, sum(means[8:]) / 2]
    lines = run.metrics()
    assert [line["step"] for line in lines] == [4, 8, 10]
    assert [line["train/index"] for line in lines] == pytest.approx(expected, rel=1e-6)
    assert [line["epoch"] for line in lines] == [0.8, 1.6, 2.0]
    assert all(set(line) >= {"step", "epoch", "seconds"} for line in lines)


def test_observations_are_at_their_rhythm_and_at_landmarks_and_in_eval_mode(trainer):
    seen = []

    def observe(method, moment):
        seen.append((moment.step, moment.due, moment.landmark, method.training))
        return {"valid/x": 1.0, "note": "said"} if moment.due else {}

    method, run, _ = trainer(
        "run", observe=observe, train={"validate_every": Duration(2, "epochs")}
    )
    assert {at: (due, landmark) for at, due, landmark, _ in seen} == {
        0: (False, True),
        1: (False, True),
        2: (False, True),
        5: (False, True),
        10: (True, True),
        20: (True, True),
        24: (True, True),
    }
    assert not any(training for *_, training in seen)
    assert [(m["step"], m["note"]) for m in run.metrics() if "valid/x" in m] == [
        (10, "said"),
        (20, "said"),
        (24, "said"),
    ]
    assert method.training


def test_the_first_look_is_before_the_first_step_and_not_repeated_on_resume(trainer):
    """What a method scores untrained is a floor; a resumed run has it already."""

    def weight(method, moment):
        return {"weight": method.net.weight.sum().item()}

    method, run, _ = trainer("run", observe=weight)
    untrained = trainer.build(type(method), method.config)
    assert run.metrics()[0]["weight"] == untrained.net.weight.sum().item()
    (run.path / "DONE").unlink(missing_ok=True)
    _, again, _ = trainer("run", observe=weight, resume=True)
    assert [m["step"] for m in again.metrics() if "weight" in m].count(0) == 1


@pytest.mark.parametrize("only_logged", [False, True])
@pytest.mark.parametrize("log_every", [1, 24])
def test_a_term_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(
    trainer, only_logged: bool, log_every: int
):
    """Twelve good updates; the thirteenth is bad."""
    bad = {"bad_from": 12 / 24 - 1e-6, "only_logged": only_logged}
    good_at_10, _, _ = trainer("good-10", steps=10, only_logged=only_logged)
    caught = []
    with pytest.raises(
        TriptychError, match=r"'fragile' of phase 'fit' was not finite at step 13\b"
    ) as error:
        trainer("bad", at=caught.append, train={"log_every": log_every}, **bad)
    path = trainer.folder / "bad/checkpoints/last.safetensors"
    assert str(path) in str(error.value)
    tensors, about = checkpoint.load(path)
    assert about["step"] == 10
    assert torch.equal(tensors["weights.net.weight"], good_at_10.net.weight)
    logged = [m["step"] for m in Run(trainer.folder / "bad").metrics()]
    assert logged == (list(range(1, 13)) if log_every == 1 else [])


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["sgd", "adam"])
def test_from_the_first_bad_step_on_no_weight_moves(trainer, kinds, optimizer):
    """Read at the end alone, so that twelve masked updates lie between the bad step and the look."""
    kept = []

    class Kept(kinds["regression"]):
        def __init__(self, config, spec):
            super().__init__(config, spec)
            kept.append(self)

    rare = {"log_every": 24, "checkpoint_every": Duration(24, "steps")}
    good, _, _ = trainer("good", steps=12, optimizer=optimizer, train=rare)
    with pytest.raises(TriptychError, match="step 13"):
        trainer("bad", Kept, optimizer=optimizer, bad_from=12 / 24 - 1e-6, train=rare)
    assert torch.equal(kept[0].net.weight, good.net.weight)
    assert torch.equal(kept[0].net.bias, good.net.bias)
    assert not (trainer.folder / "bad/checkpoints/last.safetensors").exists()


def test_the_first_of_several_bad_terms_and_steps_is_named(trainer, kinds):
    class Worse(kinds["regression"]):
        def losses(self, phase, batch, noise, progress):
            found = super().losses(phase, batch, noise, progress)
            late = torch.where(progress >= 0.75, float("inf"), 1.0) * found.terms["error"]
            return found._replace(terms={"late": late, **found.terms})

    with pytest.raises(TriptychError, match=r"'fragile' .* step 7\b"):
        trainer("bad", Worse, bad_from=0.25 - 1e-6, only_logged=True, train={"log_every": 24})


def test_a_bad_term_in_one_phase_masks_the_other_phases_too(trainer, kinds):
    kept = []

    class Bad(kinds["game"]):
        def losses(self, phase, batch, noise, progress):
            found = super().losses(phase, batch, noise, progress)
            if phase != "critic":
                return found
            bad = torch.where(progress >= 0.5 - 1e-6, float("nan"), 1.0)
            return found._replace(minimise=bad * found.minimise)

    class Kept(Bad):
        def __init__(self, config, spec):
            super().__init__(config, spec)
            kept.append(self)

    rare = {"log_every": 24, "checkpoint_every": Duration(24, "steps")}
    with pytest.raises(TriptychError, match=r"'objective' of phase 'critic' .* step 13\b"):
        trainer("bad", Kept, train=rare)
    frozen = kept[0].seen[24]["weights"]
    for name, value in kept[0].named_parameters():
        assert torch.equal(value, frozen[name]), name


def test_weights_that_are_not_finite_are_caught_before_they_are_saved(trainer, kinds):
    """sqrt(0) is fine and its gradient is not: the loss says nothing."""

    class Root(kinds["regression"]):
        def losses(self, phase, batch, noise, progress):
            found = super().losses(phase, batch, noise, progress)
            trap = torch.where(progress >= 0.5 - 1e-6, self.net.weight.sum() * 0, 1.0).sqrt()
            return found._replace(minimise=found.minimise + trap)

    with pytest.raises(TriptychError, match=r"weights 'net\.weight' were not finite"):
        trainer("bad", Root)
    tensors, about = checkpoint.load(trainer.folder / "bad/checkpoints/last.safetensors")
    assert about["step"] == 10
    assert tensors["weights.net.weight"].isfinite().all()


def test_a_run_that_failed_says_why(tmp_path):
    tables = {
        "method": {"latent": 2, "hidden": [8], "optimizer": {"name": "sgd", "lr": 1e30}},
        "data": {"binarize": "threshold"},
        "train": {"duration": "10 steps", "log_every": 2, "compile": "off", "device": "cpu"},
    }
    config = merge(experiment.default_config("vae"), tables)
    with pytest.raises(TriptychError) as error:
        experiment.train(config, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert run.status() == "failed"
    assert run.reason() == str(error.value)
    assert not run.checkpoint("last").exists()


def test_the_method_can_be_trained_again_after_a_game(trainer, kinds):
    """What a phase froze is not to stay frozen once the training is over."""
    method, _, _ = trainer("run", kinds["game"], steps=2)
    assert all(p.requires_grad for p in method.parameters())


@pytest.mark.parametrize("option", ["batch_size", "log_every"])
def test_a_size_or_rhythm_of_nought_is_one_clear_sentence(tmp_path, option: str):
    tables = {"train": {"duration": "2 steps", option: 0}, "data": {"binarize": "threshold"}}

    def attempt():
        experiment.train(merge(experiment.default_config("vae"), tables), tmp_path / "run")

    with pytest.raises(TriptychError, match=option.replace("_", "[-_]")):
        attempt()
    assert not (tmp_path / "run").exists(), "nothing half-written stays"


def test_a_phase_without_images_takes_none_from_the_stream(trainer, kinds):
    """A step of a critic that looks three times and a generator that never does takes three batches."""

    class Blind(kinds["game"]):
        def phases(self):
            critic, generator = super().phases()
            return critic, replace(generator, images=False)

        def losses(self, phase, batch, noise, progress):
            if phase == "critic":
                return super().losses(phase, batch, noise, progress)
            self.seen.append({"phase": phase, "views": batch.views, "index": batch.index.tolist()})
            fake = self.critic(self.generator(noise["z"])).squeeze(-1)
            return Losses(-fake, {"fooled": fake})

    method, run, _ = trainer("blind", Blind, steps=10, repeats=3)
    stream = trainer.stream()
    looked = [seen["index"] for seen in method.seen if seen["phase"] == "critic"]
    assert looked == [stream.batch(i).index.tolist() for i in range(30)]
    blind = [seen for seen in method.seen if seen["phase"] == "generator"]
    assert len(blind) == 10
    assert all(seen["views"] == () and seen["index"] == [] for seen in blind)
    assert run.metrics()[-1]["epoch"] == 6.0, "thirty batches at five an epoch"
