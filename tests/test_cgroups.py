"""What a container may have counts, wherever Linux says it."""

from pathlib import Path

import pytest
import torch

from triptych import cgroups
from triptych.data.readers import part
from triptych.environment import memory

GIGABYTE = 1_000_000_000


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose groups are said here."""
    monkeypatch.setattr(cgroups, "ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(cgroups, "MINE", tmp_path / "mine")
    return tmp_path


def say(machine: Path, mine: str, files: dict[str, object]) -> None:
    (machine / "mine").write_text(mine)
    for name, content in files.items():
        path = machine / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


V1 = "9:name=systemd:/\n4:memory:/job/7\n0::/\n"

SETTINGS = {
    "v2, its own": ("0::/job/7\n", {"job/7/memory.max": GIGABYTE, "memory.max": "max"}, GIGABYTE),
    "v2, of the group around": (
        "0::/job/7\n",
        {"job/7/memory.max": "max", "job/memory.max": GIGABYTE},
        GIGABYTE,
    ),
    "v2, the smaller": (
        "0::/a/b\n",
        {"a/b/memory.max": 3 * GIGABYTE, "a/memory.max": GIGABYTE},
        GIGABYTE,
    ),
    "v2, in a container": ("0::/\n", {"memory.max": GIGABYTE}, GIGABYTE),
    "v1, its own": (V1, {"memory/job/7/memory.limit_in_bytes": GIGABYTE}, GIGABYTE),
    "v1, in a container": (V1, {"memory/memory.limit_in_bytes": GIGABYTE}, GIGABYTE),
    "another group's": ("0::/job/7\n", {"job/8/memory.max": GIGABYTE}, None),
    "none": ("", {}, None),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_limit_counts_wherever_it_is_said(machine: Path, setting: str):
    mine, files, limit = SETTINGS[setting]
    say(machine, mine, files)
    assert cgroups.allowed() == limit
    whole = memory(torch.device("cpu"))
    assert whole == limit if limit else whole > 0


def test_what_is_used_is_not_free_and_what_is_remembered_of_files_is(machine: Path):
    say(machine, "0::/\n", {"memory.max": GIGABYTE, "memory.current": GIGABYTE - 1000})
    assert cgroups.free() == 1000
    (machine / "cgroup" / "memory.stat").write_text("anon 5\ninactive_file 400\n")
    assert cgroups.free() == 1400
    assert part._memory() == 1400


def test_a_group_over_its_limit_has_nothing_free(machine: Path):
    used = {"memory/job/7/memory.usage_in_bytes": 2 * GIGABYTE}
    say(machine, V1, {"memory/job/7/memory.limit_in_bytes": GIGABYTE, **used})
    assert cgroups.free() == 0
