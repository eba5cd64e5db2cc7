"""How fast it goes and how long it takes, in a log and beside a bar."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from napari_oneshot_lmk.cli import console


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(console, "time", clock)
    return clock


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    text = StringIO()
    messages = Console(file=text, width=200)
    monkeypatch.setattr(console, "messages", messages)
    return text


def test_progress_in_a_log(clock, log):
    with console.counting_bar("Detecting") as advance:
        for done, seconds in enumerate((0, 10, 20, 1, 9)):
            clock.now += seconds
            advance(done, 4)
    assert log.getvalue() == "Detecting: 2 of 4, 0:30 left\nDetecting: 4 of 4, 0:40\n"


def test_progress_in_a_log_leaves_out_what_went_before(clock, log):
    with console.counting_bar("fused") as advance:
        # A method that trains for ten minutes before it detects on its first image.
        for done, seconds in ((0, 600), (2, 40)):
            clock.now += seconds
            advance(done, 4)
    assert log.getvalue() == "fused: 2 of 4, 0:40 left\n"


def test_rate_is_that_of_the_last_minute(clock):
    rate = console.Rate()
    rate.add(5000)  # done before: it does not count
    clock.now += 40
    for done in range(5000, 5013):
        rate.add(done)  # the first chunk of a worker that took its time to start
    assert rate.latest is None
    clock.now -= 40
    rate = console.Rate()
    rate.add(5000)
    for second in range(1, 301):
        clock.now += 1
        rate.add(5000 + (second * 10 if second <= 200 else 2000 + (second - 200) * 2))
    assert rate.latest == pytest.approx(2, rel=0.05)
    assert rate.overall == pytest.approx(2200 / 300)
    assert len(rate._samples) < 70  # however long it runs


def test_log_says_images_a_second_and_the_time_left(clock, log):
    with console.rate_bar("Detecting", "images") as advance:
        advance(3000, 5000)
        for done in range(3001, 5001):
            clock.now += 0.5
            advance(done, 5000)
    lines = log.getvalue().splitlines()
    assert lines[0] == "Detecting: 3040 of 5000, 2 images/s, 16:20 left"
    assert lines[-1] == "Detecting: 5000 of 5000, 2 images/s, 16:40"
    assert len(lines) == 1000 // 20


def test_nothing_to_do_is_no_division_by_zero(clock, log):
    with console.rate_bar("Detecting", "images") as advance:
        advance(7, 7)
    assert log.getvalue() == "Detecting: 7 of 7\n"


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    text = StringIO()
    monkeypatch.setattr(console, "messages", Console(file=text, width=100, force_terminal=True))
    return text


def test_progress_on_a_terminal(screen):
    with console.download_bar("Fetching"):
        pass
    assert "Fetching" not in screen.getvalue()
    with console.counting_bar("Detecting") as advance:
        advance(3, 4)
    assert "3/4" in screen.getvalue()
    assert "left" in screen.getvalue()


def test_rate_on_a_terminal(clock, screen):
    with console.rate_bar("Detecting", "images") as advance:
        advance(0, 100)
        clock.now += 7
        advance(10, 100)
        clock.now += 10
        advance(50, 100)
    assert "50/100" in screen.getvalue()
    assert "4 images/s, 0:12 left" in screen.getvalue()
