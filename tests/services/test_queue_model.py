"""Hypothesis plays with the queue: whatever it does, the real one and the plain model agree, at most one worker has a
job, stale tokens change nothing, nothing that is done is lost, and in the end everything can be finished.

The game that shows a mistake is told as it was played. SHRINK=1 in the environment looks for the shortest one, which
takes minutes: every step is several transactions. GAMES=n sets how many long games are played.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase
from hypothesis import settings as examples
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import AppFactory
from tests.services.queue_machine import QueueMachine

GAMES = int(os.environ.get("GAMES", "400"))
PHASES = tuple(Phase) if "SHRINK" in os.environ else (Phase.explicit, Phase.reuse, Phase.generate)
PATIENT = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}


@pytest.fixture
def player(app_factory: AppFactory, tmp_path: Path) -> Flask:
    """Quarantine has a test of its own; here a worker may fail as often as it likes."""
    QueueMachine.folder = tmp_path
    return app_factory("cli", quarantine_after=100)


def play(app: Flask, number: int, steps: int) -> None:
    with app.app_context():
        how = examples(max_examples=number, stateful_step_count=steps, phases=PHASES, **PATIENT)
        run_state_machine_as_test(QueueMachine, settings=how)


@pytest.mark.timeout(1200)  # seconds alone; a busy machine is no mistake
def test_the_queue_does_what_a_plain_model_of_it_does(player: Flask, database: str) -> None:
    play(player, 12 if database == "sqlite" else 5, 36)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("database")
def test_the_queue_does_what_a_plain_model_of_it_does_in_long_games(player: Flask) -> None:
    play(player, GAMES, 60)
