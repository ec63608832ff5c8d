"""Cron text in time zones: words, days on which clocks change, and against a slow count by the clock."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import UsageError
from workbench.runs.cron import Cron

BERLIN = ZoneInfo("Europe/Berlin")


def at(text, zone=UTC):
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def shown(cron, start, n):
    return [due.strftime("%m-%d %H:%M %z") for due in cron.upcoming(start, n)]


def test_words_and_the_next_times_are_in_the_time_zone():
    cron = Cron("30 2 * * MON-FRI", "Europe/Berlin")
    assert cron.words == "At 02:30 on Monday through Friday, Europe/Berlin time"
    assert Cron("@daily").words == "At 00:00 every day, UTC"
    assert shown(cron, at("2026-01-01T12:00"), 2) == ["01-02 02:30 +0100", "01-05 02:30 +0100"]


def test_a_time_that_the_clock_leaves_out_is_due_right_after_the_gap():
    cron = Cron("30 2 * * *", "Europe/Berlin")
    assert shown(cron, at("2026-03-28T00:00"), 3) == [
        "03-28 02:30 +0100",
        "03-29 03:00 +0200",
        "03-30 02:30 +0200",
    ]


def test_a_time_that_comes_twice_is_due_the_first_time():
    cron = Cron("30 2 * * *", "Europe/Berlin")
    assert shown(cron, at("2026-10-24T12:00"), 2) == ["10-25 02:30 +0200", "10-26 02:30 +0100"]
    # From within the second of the two hours the day is over, too.
    assert shown(cron, at("2026-10-25T01:10"), 1) == ["10-26 02:30 +0100"]


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_every_hour_goes_by_elapsed_time(day, hours):
    start = datetime.fromisoformat(day).replace(tzinfo=BERLIN)
    end = (start + timedelta(days=1)).timestamp()
    dues = list(islice(Cron("0 * * * *", "Europe/Berlin").after(start.timestamp() - 1), 30))
    assert len([due for due in dues if due < end]) == hours
    assert {b - a for a, b in pairwise(dues)} == {3600.0}


@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    weekday=st.sampled_from(["*", "0", "1-5", "3"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    start=st.integers(int(at("2026-01-01")), int(at("2026-12-01"))),
)
def test_a_fixed_time_of_day_is_due_once_on_each_of_its_days(minute, hour, weekday, zone, start):
    cron = Cron(f"{minute} {hour} * * {weekday}", zone)
    dues = list(islice(cron.after(start), 40))
    assert start < dues[0]
    assert all(a < b for a, b in pairwise(dues))
    days = [cron.local(due).date() for due in dues]
    assert len(set(days)) == len(days)
    allowed = {"*": range(7), "0": [6], "1-5": range(5), "3": [2]}[weekday]
    expected, day = [], days[0]
    while day <= days[-1]:
        if day.weekday() in allowed:
            expected.append(day)
        day += timedelta(days=1)
    assert days == expected
    for due in dues:
        local = cron.local(due)
        if (local.hour, local.minute) != (hour, minute):  # only where that time is left out by the clock
            wanted = datetime(local.year, local.month, local.day, hour, minute, tzinfo=cron.tz)
            assert wanted.astimezone(UTC).astimezone(cron.tz).replace(tzinfo=None) != wanted.replace(
                tzinfo=None
            )


@pytest.mark.parametrize(
    ("text", "zone", "words"),
    [
        ("", "UTC", "five fields"),
        ("* * * * * *", "UTC", "five fields"),
        ("99 * * * *", "UTC", "bad minute"),
        ("0 0 30 2 *", "UTC", "bad day-of-month"),
        ("9" * 5000 + " * * * *", "UTC", "5,008 characters"),
        ("0 0 * * *", "Mars/Olympus", "no time zone"),
        ("0 0 * * *", "../etc/passwd", "no time zone"),
    ],
)
def test_what_is_no_time_is_one_sentence(text, zone, words):
    with pytest.raises(UsageError, match=words):
        Cron(text, zone)
