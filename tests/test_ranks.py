"""Processes that share work meet, and say so when they do not."""

MEETINGS = """
import json, torch
from triptych.ranks import joined
with joined() as ranks:
    x = torch.full((3,), float(ranks.rank + 1))
    ranks.add_(x)
    print(json.dumps([x.tolist(), ranks.gathered(ranks.rank), ranks.of_first(ranks.rank), ranks.any(ranks.rank == 1)]))
"""

THINGS = """
import sys, torch
from triptych.objectives.importance import WeightSums
from triptych.ranks import Ranks, joined

def thing(rank):
    draw = torch.Generator().manual_seed(rank)
    x = torch.randn(rank, 3, generator=draw)
    sums = WeightSums(x[:, 0], x.double(), rank)
    kinds = [torch.tensor(True), x.bfloat16(), torch.arange(rank), x.to(torch.complex64).T]
    return {"sums": sums, "kinds": kinds, "words": [f"rank {rank}", (rank, None)]}

def parts(one):
    return [one["sums"].log_sum, one["sums"].log_sum_squares, *one["kinds"]]

with joined() as ranks:
    found = ranks.gathered(thing(ranks.rank))
    for rank, one in enumerate(found):
        own = thing(rank)
        assert one["words"] == own["words"] and one["sums"].count == rank
        for a, b in zip(parts(one), parts(own), strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b), (a, b)
    assert ranks.gathered(None) == [None] * ranks.size
    for count in (0, 1, 2, 7):
        asked = []
        shared = ranks.shared(range(count), lambda part: [asked.append(n) or torch.tensor(n) for n in part])
        assert [int(n) for n in shared] == list(range(count))
        assert sorted(n for part in ranks.gathered(asked) for n in part) == list(range(count))
    assert ranks.by_first(lambda: ranks.rank) == 0
    assert ranks.unanimous(lambda: ranks.rank) == ranks.rank
"""

FAILS = """
import torch
from triptych.errors import TriptychError
from triptych.ranks import joined

with joined() as ranks:
    def fail(culprit, error):
        if ranks.rank == culprit:
            raise error
        return 1

    wrong, bug = TriptychError("no such images"), ZeroDivisionError("by nought")
    for meeting in (
        lambda: ranks.shared(range(5), lambda part: [fail(2, wrong) for _ in part]),
        lambda: ranks.unanimous(lambda: fail(1, bug)),
        lambda: ranks.by_first(lambda: fail(0, wrong)),
    ):
        try:
            meeting()
        except TriptychError as error:
            print(f"{error} ({type(error.__cause__).__name__})")
        # Nobody is out of step.
        assert ranks.gathered(ranks.rank) == list(range(ranks.size))
"""


def test_every_rank_has_the_same(run_ranks):
    found = run_ranks(3, MEETINGS)
    assert [(f.returncode, f.stderr) for f in found] == [(0, "")] * 3
    assert {f.stdout for f in found} == {"[[6.0, 6.0, 6.0], [0, 1, 2], 0, true]\n"}


def test_tensors_of_any_kind_come_bit_by_bit_and_each_share_is_done_once(run_ranks):
    found = run_ranks(3, THINGS)
    assert [(f.returncode, f.stderr) for f in found] == [(0, "")] * 3


def test_what_fails_on_one_rank_fails_on_all_with_the_same_sentence(run_ranks):
    found = run_ranks(3, FAILS)
    assert [(f.returncode, f.stderr) for f in found] == [(0, "")] * 3
    expected = [
        (2, "no such images", "TriptychError"),
        (1, "rank 1 of 3 failed by ZeroDivisionError: by nought", "ZeroDivisionError"),
        (0, "no such images", "TriptychError"),
    ]
    for rank, said in enumerate(f.stdout.splitlines() for f in found):
        assert said == [
            f"{s} ({c if rank == culprit else 'NoneType'})" for culprit, s, c in expected
        ]
