"""Seeds: pinned, because stored runs depend on them, and apart from one another."""

import hashlib

import pytest

from triptych.seeds import derive


@pytest.mark.parametrize("parts", [(0, "order", 3), (123, "noise", "elbo", 7, 0), (5,)])
def test_a_seed_is_the_hash_of_its_purpose(parts):
    text = repr(parts).encode()
    whole = int(hashlib.blake2b(text, digest_size=8).hexdigest(), 16)
    assert derive(*parts) == whole // 2


def test_the_seeds_of_stored_runs_stay_what_they_are():
    assert derive(0, "order", 3) == 386_106_667_988_085_106


def test_a_purpose_is_more_than_its_letters():
    assert derive(0, "a", "1/2") != derive(0, "a/1", 2)


def test_seeds_of_different_purposes_are_different():
    purposes = ("order", "binarize", "noise", "initialise")
    found = {derive(s, p, n) for s in range(20) for p in purposes for n in range(500)}
    assert len(found) == 20 * 4 * 500
    assert all(0 <= seed < 2**63 for seed in found)
