"""A formula on the page: every method's own is one, and nothing else comes through it."""

import dataclasses
import re
from xml.etree import ElementTree

import pytest

from triptych import methods
from triptych.config import merge
from triptych.methods.hvae import HVAE, HVAEConfig
from triptych.methods.simsiam import SimSiam, SimSiamConfig
from triptych.methods.vae import VAE, VAEConfig
from triptych.methods.wgan import WGAN, WGANConfig
from triptych.reporting.parts.formula import ATTRIBUTES, ELEMENTS, LONGEST, formula
from triptych.types import DataSpec

COLOUR, BINARY = DataSpec((3, 32, 32), "colour"), DataSpec((1, 8, 8), "binary")


def read(latex):
    """The letters of a formula as they are read, without spaces."""
    return re.sub(r"\s", "", "".join(ElementTree.fromstring(f"<p>{formula(latex)}</p>").itertext()))


def test_a_line_is_a_block_of_its_own():
    """A page of a phone's width does not show the end of a long one."""
    two = formula("x = 1,\n\ny = 2")
    assert two.count("<math") == 2
    assert formula("x = 1,") + formula("y = 2") == two
    assert formula("\n") == formula("") == ""


def test_the_bound_of_the_vae():
    said = read(VAE(VAEConfig(latent=2), BINARY).formula())
    assert said == "logp(x)≥𝔼q(z∣x)[logp(x∣z)]−KL(q(z∣x)‖p(z)),p(z)=𝒩(0,I)"


ELBO = "logp(x)≥𝔼q(z∣x)[logp(x∣z)]−"
KL = "KL(q(z∣x)‖p(z))"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prior": "vamp"}, f"{ELBO}{KL},p(z)=15∑cq(z∣uc)"),
        ({"prior": "mixture"}, f"{ELBO}{KL},p(z)=15∑c𝒩(μc,σc2)"),
        ({"beta": 4.0}, f"max𝔼q(z∣x)[logp(x∣z)]−4{KL},p(z)=𝒩(0,I)"),
        ({"free_bits": 0.1}, "max𝔼q(z∣x)[logp(x∣z)]−∑jmax(0.1,𝔼xKLj),p(z)=𝒩(0,I)"),
        (
            {"free_bits": 0.1, "prior": "vamp"},
            f"max𝔼q(z∣x)[logp(x∣z)]−max(2·0.1,𝔼x{KL}),p(z)=15∑cq(z∣uc)",
        ),
        (
            {"samples": 50},
            "logp(x)≥𝔼zi~q(z∣x)[log150∑i=150p(x∣zi)p(zi)q(zi∣x)],p(z)=𝒩(0,I)",
        ),
        (
            {"samples": 50, "beta": 0.5},
            "max𝔼zi~q(z∣x)[log150∑i=150p(x∣zi)(p(zi)q(zi∣x))0.5],p(z)=𝒩(0,I)",
        ),
    ],
)
def test_the_bound_of_the_vae_has_what_its_options_make_of_it(options, said):
    assert read(VAE(VAEConfig(latent=2, components=5, **options), BINARY).formula()) == said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {},
            "logp(x)≥𝔼q(z1,z2∣x)[logp(x∣z1,z2)−KL(q(z1∣x,z2)‖p(z1∣z2))]−KL(q(z2∣x)‖p(z2)),p(z2)=𝒩(0,I)",
        ),
        (
            {"beta": 2.0, "free_bits": 0.1, "prior": "vamp"},
            "max𝔼q(z1,z2∣x)[logp(x∣z1,z2)−2∑jmax(0.1,𝔼xKL1j)]−2max(3·0.1,𝔼xKL(q(z2∣x)‖p(z2))),p(z2)=15∑cq(z2∣uc)",
        ),
    ],
)
def test_the_bound_of_the_two_levels(options, said):
    config = HVAEConfig(upper=3, lower=2, hidden=(4,), components=5, **options)
    assert read(HVAE(config, BINARY).formula()) == said


@pytest.mark.parametrize(
    ("penalty", "weight", "said"),
    [
        ("one-sided", 10.0, "(max(0,‖∇f(x^)‖−1))2,λ=10"),
        ("two-sided", 1e-5, "(‖∇f(x^)‖−1)2,λ=0.00001"),
        ("two-sided", 1e6, "(‖∇f(x^)‖−1)2,λ=1000000"),
    ],
)
def test_the_game_of_the_wgan_has_its_own_penalty(penalty, weight, said):
    config = WGANConfig(latent=2, width=4, penalty=penalty, penalty_weight=weight)
    assert read(WGAN(config, COLOUR).formula()) == f"minGmaxf𝔼f(x)−𝔼f(G(z))−λ𝔼{said}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "cos(h(z1),stop(z2))+cos(h(z2),stop(z1))"),
        ({"stop_gradient": False}, "cos(h(z1),z2)+cos(h(z2),z1)"),
        ({"predictor": "none"}, "cos(z1,stop(z2))+cos(z2,stop(z1))"),
        ({"predictor": "none", "stop_gradient": False}, "cos(z1,z2)+cos(z2,z1)"),
    ],
)
def test_the_loss_of_simsiam_has_what_its_arm_has(changes, said):
    config = SimSiamConfig(depth=10, width=4, projector=(16,), predictor_width=8)
    method = SimSiam(dataclasses.replace(config, **changes), COLOUR)
    assert read(method.formula()) == f"min−12[{said}]"


THIN = {"depth": 10, "width": 4, "projector": [16]}


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("simclr", {}, "min−logexp(cos(zi,zj)/τ)∑k≠iexp(cos(zi,zk)/τ),τ=0.5"),
        ("simclr", {"negatives": False, "temperature": 0.1}, "min−1τcos(z1,z2),τ=0.1"),
        ("byol", {"target": "copy"}, "minθ2−2cos(q(z1),stop(z2))+2−2cos(q(z2),stop(z1))"),
        ("byol", {"target": "none", "predictor": "none"}, "minθ2−2cos(z1,z2)+2−2cos(z2,z1)"),
        ("barlow", {}, "min∑i(1−Cii)2+λ∑i∑j≠iCij2,C=corr(z1,z2),λ=0.005"),
        ("barlow", {"off_diagonal_weight": 0.0}, "min∑i(1−Cii)2,C=corr(z1,z2)"),
        (
            "vicreg",
            {},
            "minλ‖z1−z2‖2/d+μ12[v(z1)+v(z2)]+ν[c(z1)+c(z2)],λ=25,μ=25,ν=1",
        ),
        ("vicreg", {"variance_weight": 0.0}, "minλ‖z1−z2‖2/d+ν[c(z1)+c(z2)],λ=25,ν=1"),
        ("sigreg", {"regulariser_weight": 0.0}, "min14d‖z1−z2‖2"),
    ],
)
def test_the_loss_of_an_agreement_has_what_its_switches_leave(name, changes, said):
    kind = methods.find(name)
    method = kind(merge(kind.Config(), {**THIN, **changes}), COLOUR)
    assert read(method.formula()) == said


def test_the_moving_average_of_the_target_and_the_distance_from_a_normal_are_in_their_formulas():
    for name, words in (("byol", ("ξ←τξ+(1−τ)θ", "τ:0.996→1")), ("sigreg", ("∫", "λ=0.02"))):
        kind = methods.find(name)
        said = read(kind(merge(kind.Config(), THIN), COLOUR).formula())
        assert all(word in said for word in words), said


@pytest.mark.parametrize(
    "latex",
    [
        *(r"\text{<script>}", r"\text{<script>alert(1)</script>}", r"\text{<b>bold</b>}"),
        *(r"\frac{", "a & b", "\x00", "x" * (LONGEST + 1), "{" * 400, r"\text{<!--}"),
    ],
)
def test_what_is_no_formula_is_refused(latex):
    with pytest.raises(ValueError, match=r"is no formula|holds <|letters"):
        formula(latex)


@pytest.mark.parametrize(
    "latex",
    [
        *(r"\href{javascript:alert(1)}{x}", r"\style{background:url(x)}{y}", r"\class{a}{y}"),
        *(r'\text{" onload="x}', "<b>x</b>", r"\color{red}{x}"),
    ],
)
def test_nothing_but_mathematics_comes_through(latex):
    for element in ElementTree.fromstring(formula(latex)).iter():
        assert element.tag in ELEMENTS
        assert set(element.attrib) - {"alttext"} <= ATTRIBUTES
