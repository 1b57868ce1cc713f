"""Numbers as people read them: a table of values, and that no power of ten hides what differs."""

import pytest

from triptych.cli.display import training_display
from triptych.reporting.figures.panels import Line, Panel
from triptych.reporting.parts.charts import plot
from triptych.reporting.words import number, plain, setting, value_with_error, with_error
from triptych.runs import Run


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (-16512.314, "−16,512.31"),
        (-16511.8, "−16,511.80"),
        (1234567.891, "1,234,567.89"),
        (-99.836, "−99.84"),
        (5.12345, "5.123"),
        (0.98765, "0.9877"),
        (-0.98765, "−0.9877"),
        (0.00012344, "0.0001234"),
        (0.0000012344, "0.000001234"),
        (-4.2e-9, "−4.200e−09"),
        (3.2e15, "3.200e+15"),
        (0.0, "0"),
        (-0.0, "0"),
        (7, "7"),
        (123456, "123,456"),
        (float("inf"), "not finite"),
        (float("-inf"), "not finite"),
        (float("nan"), "not finite"),
    ],
)
def test_a_number_whose_error_nobody_knows(value: float, said: str):
    assert number(value) == said


def test_two_of_a_course_differ_where_half_a_hundredth_does():
    for value in (-16512.31, -1678.2, 99.1, 0.754, 0.0042, 3e-5):
        assert number(value) != number(value * 1.001 + 0.005 * (abs(value) > 100))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *[(-16500.0, "−16,500"), (-16512.4, "−16,512.4"), (1000000.0, "1,000,000"), (0.2, "0.2")],
        *[(0.00002, "0.00002"), (-0.0, "0"), (0.1 + 0.2, "0.3"), (30, "30")],
    ],
)
def test_a_round_number_has_the_decimals_that_it_needs(value: float, said: str):
    assert plain(value) == said


def test_a_round_number_may_be_cut():
    assert [plain(v, 2) for v in (12.3456, 20000.0, 3.0)] == ["12.35", "20,000", "3"]
    assert plain(1234.5, 0) == "1,234"


@pytest.mark.parametrize(
    ("value", "stderr", "said"),
    [
        (-95.4812, 0.2431, "−95.48 ± 0.24"),
        (-16512.31, 12.4, "−16,512 ± 12"),
        (5.1, 0.0021, "5.1000 ± 0.0021"),
        (0.00312, 0.00041, "0.00312 ± 0.00041"),
        (4.0, 0.0, "4.00 ± 0.00"),
        (0.00312, None, "0.003120"),
        (-16512.314, None, "−16,512.31"),
        (7, None, "7"),
    ],
)
def test_a_number_has_the_digits_that_its_error_leaves(value, stderr, said):
    assert with_error(value, stderr) == said


def test_a_small_error_is_never_shown_as_none():
    assert value_with_error("test/kid", 0.000031, 0.0000042) == "0.0000310 ± 0.0000042"
    assert value_with_error("features/std", 0.9959, None) == "0.9959"


def test_two_validations_can_be_told_apart_in_the_lines_of_a_training(capsys):
    with training_display("elbo") as show:
        for step, elbo in ((100, -16512.31), (200, -16511.84)):
            show(step, 1000, step / 50, {"valid/elbo": elbo, "valid/loss": 0.00012344})
    first, second = capsys.readouterr().err.splitlines()
    assert first == "step 100 of 1,000, epoch 2: valid/elbo −16,512.31, valid/loss 0.0001234"
    assert second == "step 200 of 1,000, epoch 4: valid/elbo −16,511.84, valid/loss 0.0001234"


def test_a_chart_says_large_numbers_whole():
    epochs = [float(i) for i in range(40)]
    line = Line("validation", epochs, [-16600.0 + i for i in range(40)], 0)
    chart = plot(Panel("elbo", "ELBO", [line]))
    texts = [text for _, text in chart.up]
    assert "−16,580" in texts and len(set(texts)) == len(texts)
    assert chart.said == "ELBO over 39 epochs: validation from −16,600.00 to −16,561.00."
    assert not any("e+" in text for text in (*texts, chart.said))


@pytest.mark.parametrize("value", [0.5, ["a"], 3, True])
def test_a_setting_says_only_the_likelihood_that_is_a_word(tmp_path, value):
    """A method of one's own may have a weight of that name."""
    run = Run.create(tmp_path / "run", {"method": {"likelihood": value}, "seed": 1})
    assert setting(run, seed=True).replace("\u00a0", " ") == "seed 1"
