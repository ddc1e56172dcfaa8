"""The lease on housekeeping: once per interval, whoever asks, however often."""

from __future__ import annotations

import threading

import pytest
from flask import Flask

from tests.services.shop import pass_time
from vlog_app.services import chores

pytestmark = pytest.mark.usefixtures("database", "app")


def test_the_first_who_asks_does_it_and_the_others_are_told_when_to_ask_again() -> None:
    assert chores.take("sweep", 15) == 0
    assert 14 < chores.take("sweep", 15) <= 15
    pass_time(10)
    assert 4 < chores.take("sweep", 15) <= 5
    pass_time(5)
    assert chores.take("sweep", 15) == 0
    assert chores.take("sweep", 15) > 0


def test_chores_do_not_know_of_each_other() -> None:
    assert chores.take("sweep", 15) == 0
    assert chores.take("publish", 60) == 0


def test_who_lets_others_go_first_takes_it_only_when_they_did_not() -> None:
    chores.take("sweep", 15)
    pass_time(16)
    assert 0 < chores.take("sweep", 15, late_s=3) <= 2
    pass_time(3)
    assert chores.take("sweep", 15, late_s=3) == 0


def test_a_ring_that_is_a_little_early_counts_and_its_double_does_not() -> None:
    chores.take("sweep", 15)
    pass_time(14)
    assert chores.take("sweep", 15, late_s=-1.5) == 0
    assert chores.take("sweep", 15, late_s=-1.5) > 0


def test_what_a_crash_left_behind_does_not_wait() -> None:
    chores.take("sweep", 15)
    assert chores.take("sweep", 15, at_once=True) == 0


@pytest.mark.parametrize("is_known", [True, False])
def test_of_many_who_ask_at_once_one_does_it(app: Flask, is_known: bool) -> None:
    if is_known:
        chores.take("sweep", 15)
        pass_time(16)
    answers: list[float] = []
    start = threading.Barrier(8)

    def ask() -> None:
        with app.app_context():
            start.wait()
            answers.append(chores.take("sweep", 15))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert answers.count(0) == 1
