"""Short trainings whose fate is known, and what the verdict calls them: healthy networks, and such without their guard.

    python benchmarks/verdicts.py --out FOLDER                       # the embedded digits: about 20 s of one core each
    python benchmarks/verdicts.py --out FOLDER --data-dir DIR        # CIFAR-10 too: 8 epochs, some minutes each

Each run is one command, which is printed and can be given by hand. ``FOLDER/runs.json`` has them as
`tests/evaluation/representation/real_runs.json` keeps them; a run that is there already is not made again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from triptych import data, experiment
from triptych.config import merge
from triptych.evaluation.representation.verdict import Evidence, Gain, evidence, judge
from triptych.experiment import default_config
from triptych.runs import Run

MANY = 2000
"""Images, at most, whose two views the monitor compares."""

GUARDS: dict[str, dict[str, dict[str, Any]]] = {
    "simclr": {"no-negatives": {"negatives": False}},
    "byol": {
        "no-predictor": {"predictor": "none"},
        "no-target": {"target": "none"},
        "neither": {"predictor": "none", "target": "none"},
    },
    "barlow": {"no-decorrelation": {"off_diagonal_weight": 0.0}},
    "vicreg": {
        "no-variance": {"variance_weight": 0.0},
        "neither": {"variance_weight": 0.0, "covariance_weight": 0.0},
    },
    "sigreg": {"no-regulariser": {"regulariser_weight": 0.0}},
}
"""What keeps each method from collapsing, taken away."""


class Case(NamedTuple):
    """A training, and what is to become of it."""

    name: str
    method: str
    expected: str
    changes: dict[str, Any]
    preset: str
    seed: int

    def command(self, length: str) -> str:
        """What to type for it."""
        options = "".join(
            f" --method.{k.replace('_', '-')} {str(v).lower()}" for k, v in self.changes.items()
        )
        where = "" if self.preset == "demo" else " --data-dir DIR"
        return (
            f"triptych train {self.method} --preset {self.preset}{where} --seed {self.seed} --threads 1"
            f"{options} --duration '{length}' --validate-every '{length}'"
        )


def cases(seeds: list[int], presets: list[str]) -> Iterator[Case]:
    """Every method as it is, and without its guards."""
    for preset in presets:
        for seed in seeds:
            for method, guards in GUARDS.items():
                arms = {"default": {}, **guards}
                for arm, changes in arms.items():
                    expected = "healthy" if arm == "default" else "collapse"
                    name = f"{preset}-{method}-{arm}-{seed}"
                    yield Case(name, method, expected, changes, preset, seed)


def seen(run: Run, config: experiment.ExperimentConfig) -> Evidence:
    """What the log says at its last look."""
    dataset, method = data.load(config.data), experiment.open_trained(run.path).subject.method
    valid = len(dataset.splits["valid"])
    h = method.backbone.features
    return evidence(
        run.metrics(),
        (config.method.projector[-1], h),
        min(MANY, valid),
        valid,
        method.cosine,
        only_agrees=method.only_agrees,
        guard=method.guard,
    )


def entry(case: Case, length: str, found: Evidence) -> dict[str, Any]:
    """As the tests keep it: what the method says of itself is not of the run."""
    facts = dataclasses.asdict(dataclasses.replace(found, knn=None, retrieval=None))
    facts = {k: round(v, 4) if isinstance(v, float) else v for k, v in facts.items()}
    for name in ("only_agrees", "guard"):
        del facts[name]
    for name, gain in (("knn", found.knn), ("retrieval", found.retrieval)):
        if isinstance(gain, Gain):
            facts[name] = {"share": gain.share, "baseline": gain.baseline, "n": gain.n}
    return {
        "name": case.name,
        "command": case.command(length),
        "expected": case.expected,
        "evidence": facts,
    }


def main() -> None:
    """Train what is not there yet, say what each is called, and how many as expected."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data-dir")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--digits", default="400 steps", help="length of a training on digits")
    parser.add_argument("--cifar", default="8 epochs", help="length of a training on CIFAR-10")
    given = parser.parse_args()
    kept = given.out / "runs.json"
    entries = json.loads(kept.read_text()) if kept.exists() else []
    right = 0
    presets = ["demo", *(["small"] if given.data_dir else [])]
    planned = list(cases(given.seeds, presets))
    for case in planned:
        length = given.digits if case.preset == "demo" else given.cifar
        tables = {
            "seed": case.seed,
            "method": case.changes,
            "data": {} if case.preset == "demo" else {"dir": given.data_dir},
            "train": {"duration": length, "validate_every": length, "threads": 1, "device": "cpu"},
        }
        config = merge(default_config(case.method, case.preset), tables)
        folder = given.out / case.name
        if not (folder / "DONE").exists():
            experiment.train(config, folder)
        found = seen(Run.open(folder), config)
        named, blind = judge(found).name, judge(dataclasses.replace(found, knn=None)).name
        right += named.endswith(case.expected)
        print(f"{case.name}: {case.expected} expected, called {named}, without labels {blind}")
        print(f"  {case.command(length)}", flush=True)
        entries = [e for e in entries if e["name"] != case.name] + [entry(case, length, found)]
        kept.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
    print(f"{right} of {len(planned)} as expected")


if __name__ == "__main__":
    main()
