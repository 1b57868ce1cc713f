"""Processes that share work meet, and say so when they do not."""

PROGRAM = """
import json, sys, torch
from triptych.ranks import joined
with joined(torch.device("cpu")) as ranks:
    x = torch.full((3,), float(ranks.rank + 1))
    ranks.add_(x)
    print(json.dumps([x.tolist(), ranks.gathered(ranks.rank), ranks.of_first(ranks.rank), ranks.any(ranks.rank == 1)]))
"""


def test_every_rank_has_the_same(run_ranks):
    found = run_ranks(3, PROGRAM)
    assert [(f.returncode, f.stderr) for f in found] == [(0, "")] * 3
    assert {f.stdout for f in found} == {"[[6.0, 6.0, 6.0], [0, 1, 2], 0, true]\n"}
