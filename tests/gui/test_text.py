import math
from datetime import datetime

import pytest

from workbench.gui import text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (90_000, "1 d 1 h")],
)
def test_durations_have_two_units(seconds, shown):
    assert text.duration(seconds) == shown


def test_no_duration_is_a_dash():
    assert text.duration(None) == text.duration(math.nan) == "–"


def test_sizes_and_counts():
    assert text.bytes_(999) == "999 B"
    assert text.bytes_(1_234_567) == "1.2 MB"
    assert text.count(12345) == "12\u202f345"


@pytest.mark.parametrize(
    "shown", ["2026-03-01", "2026-03-01 14:00", "2026-03-01 14:30", "2026-03-01 14:00:05"]
)
def test_a_point_in_time_has_no_more_digits_than_it_needs(shown):
    assert text.moment(datetime.fromisoformat(shown)) == shown


def test_scores_have_three_digits_that_matter():
    assert [text.score(v) for v in (0.98765, 1234.5, 1e-5, math.nan)] == ["0.988", "1234.5", "1.00e-05", "–"]


def test_markdown_in_foreign_words_is_escaped():
    hostile = "![x](http://evil/x.png) <b>**bold**</b> :red[a] $x$ `c`"
    escaped = text.md(hostile)
    for mark in "![]()<>*:$`":
        assert f"\\{mark}" in escaped
        assert escaped.count(mark) == escaped.count(f"\\{mark}")
    assert "\n" not in text.md("# a\n# b")


def test_a_text_that_reads_as_a_number_is_one_and_a_change_of_nothing_has_no_sign():
    assert [text.as_number(word) for word in ("3", "0.5", "1e3", "3 m", "")] == [3, 0.5, 1000.0, "3 m", ""]
    assert isinstance(text.as_number("3"), int)
    assert [text.change(x) for x in (0.0294, -0.0004, 0.0004, -0.0006)] == [
        "+0.029", "±0.000", "±0.000", "-0.001",
    ]  # fmt: skip
