"""Devices in use: sessions held and given back, limits learned, rests, and the way down to the CPU."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from encoder.choice import PLAIN, Footage, Way
from encoder.device import CPU, Device, DeviceKind, Encoder, Inventory, Verdict
from encoder.model import EncodePlan
from encoder.plan import make_plan
from jobs.devices import AUTO, AtOnce, Devices
from tests.factories import make_source

CARD = Device(
    DeviceKind.NVIDIA,
    name="NVIDIA L4",
    encoders=(Encoder("h264", "h264_nvenc", "cq_bref"),),
    decoders=("h264",),
    max_sessions=8,
)
SECOND = replace(CARD, index=1)
FILM = Footage("h264", long_side=1920)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def plan() -> EncodePlan:
    """Four rungs."""
    return replace(make_plan(make_source()), colour=PLAIN)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def way_of(devices: Devices, plan: EncodePlan) -> tuple[Way, str]:
    with devices.borrow(plan, plan.video, FILM) as (choice, _):
        return choice.way, choice.device.id


def test_before_the_tests_are_done_the_cpu_works(plan: EncodePlan) -> None:
    devices = Devices()
    assert way_of(devices, plan) == (Way.CPU, "cpu")
    devices.know(Inventory((CARD, CPU)))
    assert way_of(devices, plan) == (Way.DEVICE, "nvidia:0")
    assert devices.all == (CARD, CPU)


def test_sessions_are_held_while_the_chunk_is_made(plan: EncodePlan) -> None:
    devices = Devices(Inventory((CARD, CPU)))
    with (
        devices.borrow(plan, plan.video, FILM) as (first, _),
        devices.borrow(plan, plan.video, FILM) as (second, _),
        devices.borrow(plan, plan.video, FILM) as (third, _),
    ):
        assert [first.way, second.way, third.way] == [Way.DEVICE, Way.DEVICE, Way.DEVICE_DECODE]
    assert way_of(devices, plan) == (Way.DEVICE, "nvidia:0")


def test_a_failed_chunk_gives_its_sessions_back(plan: EncodePlan) -> None:
    devices = Devices(Inventory((replace(CARD, max_sessions=4), CPU)))
    for _ in range(3):
        with pytest.raises(KeyError), devices.borrow(plan, plan.video, FILM):
            raise KeyError("the chunk failed")
    assert way_of(devices, plan)[0] is Way.DEVICE


def test_two_cards_share_the_work(plan: EncodePlan) -> None:
    devices = Devices(Inventory((CARD, SECOND, CPU)))
    with (
        devices.borrow(plan, plan.video, FILM) as (first, _),
        devices.borrow(plan, plan.video, FILM) as (second, _),
    ):
        assert {first.device.id, second.device.id} == {"nvidia:0", "nvidia:1"}


def test_a_card_that_keeps_failing_rests_and_comes_back(plan: EncodePlan, clock: Clock) -> None:
    devices = Devices(Inventory((CARD, CPU)), clock)
    for _ in range(3):
        with devices.borrow(plan, plan.video, FILM) as (choice, _):
            assert choice.way is Way.DEVICE
            devices.failed(choice, Verdict.UNKNOWN)
    assert way_of(devices, plan) == (Way.CPU, "cpu")
    clock.now_s = 61
    assert way_of(devices, plan) == (Way.DEVICE, "nvidia:0")


def test_one_success_clears_the_slate(plan: EncodePlan, clock: Clock) -> None:
    devices = Devices(Inventory((CARD, CPU)), clock)
    for _ in range(3):
        for _ in range(2):
            with devices.borrow(plan, plan.video, FILM) as (choice, _):
                devices.failed(choice, Verdict.UNKNOWN)
        devices.worked(choice)
    assert way_of(devices, plan)[0] is Way.DEVICE


def test_the_limit_is_learned_from_the_drivers_answer(plan: EncodePlan) -> None:
    devices = Devices(Inventory((replace(CARD, max_sessions=None), CPU)))
    with devices.borrow(plan, plan.video, FILM), devices.borrow(plan, plan.video, FILM) as (choice, _):
        devices.failed(choice, Verdict.BUSY)
    assert devices.all[0].max_sessions == 5  # two groups of three were held
    with devices.borrow(plan, plan.video, FILM):
        assert way_of(devices, plan)[0] is Way.DEVICE_DECODE


def test_being_busy_is_no_fault(plan: EncodePlan, clock: Clock) -> None:
    devices = Devices(Inventory((replace(CARD, max_sessions=None), CPU)), clock)
    for _ in range(5):
        with devices.borrow(plan, plan.video[:1], FILM) as (choice, _):
            devices.failed(choice, Verdict.BUSY)
    with devices.borrow(plan, plan.video[:1], FILM) as (choice, _):
        assert choice.way is Way.DEVICE


def test_nothing_is_held_against_the_cpu(plan: EncodePlan) -> None:
    devices = Devices()
    for _ in range(5):
        with devices.borrow(plan, plan.video, FILM) as (choice, _):
            devices.failed(choice, Verdict.UNAVAILABLE)
    assert way_of(devices, plan) == (Way.CPU, "cpu")
    devices.know(Inventory((CARD, CPU)))
    assert way_of(devices, plan) == (Way.DEVICE, "nvidia:0")


def test_many_threads_never_hold_more_than_there_is(plan: EncodePlan) -> None:
    devices = Devices(Inventory((CARD, CPU)))
    held, most = 0, []
    lock = threading.Lock()

    def work() -> None:
        nonlocal held
        for _ in range(200):
            with devices.borrow(plan, plan.video, FILM) as (choice, _):
                sessions = len(plan.video) if choice.way is Way.DEVICE else 0
                with lock:
                    held += sessions
                    most.append(held)
                with lock:
                    held -= sessions

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= 8
    assert way_of(devices, plan)[0] is Way.DEVICE


def group_of(devices: Devices, plan: EncodePlan, at_once: AtOnce = AUTO) -> list[str]:
    with devices.borrow(plan, plan.video, FILM, at_once) as (_choice, group):
        return [row.name for row in group]


def test_a_cpu_makes_all_rungs_with_one_decode(plan: EncodePlan) -> None:
    assert group_of(Devices(), plan) == ["1080p", "720p", "480p", "360p"]


@pytest.mark.parametrize(("sessions", "count"), [(None, 3), (8, 3), (3, 2), (2, 1), (1, 1)])
def test_a_card_leaves_a_session_to_others(plan: EncodePlan, sessions: int | None, count: int) -> None:
    devices = Devices(Inventory((replace(CARD, max_sessions=sessions), CPU)))
    assert group_of(devices, plan) == ["1080p", "720p", "480p", "360p"][:count]


@pytest.mark.parametrize("inventory", [Inventory(), Inventory((CARD, CPU))])
def test_the_owner_decides_how_many_rungs_are_made_at_once(plan: EncodePlan, inventory: Inventory) -> None:
    assert group_of(Devices(inventory), plan, AtOnce(2)) == ["1080p", "720p"]


def test_a_busy_card_leaves_all_rungs_to_the_cpu(plan: EncodePlan) -> None:
    devices = Devices(Inventory((replace(CARD, max_sessions=3, decoders=()), CPU)))
    with devices.borrow(plan, plan.video, FILM):
        assert group_of(devices, plan) == ["1080p", "720p", "480p", "360p"]
