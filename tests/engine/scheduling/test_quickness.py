# SPDX-License-Identifier: Apache-2.0
"""A model earns its place on the event loop, and loses it."""

from naiad.engine.scheduling.quickness import Quickness

QUICK, MIDDLING, STALL = 20_000, 200_000, 5_000_000


def proven() -> Quickness:
    quickness = Quickness()
    for _ in range(16):
        quickness.ran_on_thread(QUICK, QUICK)
    assert quickness.is_proven
    return quickness


def runs_until_proven(quickness: Quickness) -> int:
    runs = 0
    while not quickness.is_proven:
        quickness.ran_on_thread(QUICK, QUICK)
        runs += 1
    return runs


def test_a_new_model_is_not_trusted() -> None:
    assert not Quickness().is_proven
    assert runs_until_proven(Quickness()) == 16


def test_waiting_for_the_gil_does_not_count_against_a_quick_model() -> None:
    quickness = Quickness()
    for _ in range(16):
        quickness.ran_on_thread(QUICK, QUICK)
        for _ in range(9):
            quickness.ran_on_thread(STALL, QUICK)
    assert quickness.is_proven


def test_a_model_that_sleeps_is_never_trusted() -> None:
    quickness = Quickness()
    for _ in range(10_000):
        quickness.ran_on_thread(MIDDLING, QUICK)
    assert not quickness.is_proven


def test_a_model_that_computes_long_every_fourth_time_is_never_trusted() -> None:
    quickness = Quickness()
    for _ in range(1000):
        for cpu_ns in (QUICK, QUICK, QUICK, MIDDLING):
            quickness.ran_on_thread(cpu_ns, cpu_ns)
        assert not quickness.is_proven


def test_a_few_slower_runs_on_the_loop_are_forgiven_and_many_are_not() -> None:
    quickness = proven()
    for _ in range(64):
        quickness.ran_on_loop(QUICK)
    for _ in range(8):
        quickness.ran_on_loop(MIDDLING)
    assert quickness.is_proven
    quickness.ran_on_loop(MIDDLING)
    assert not quickness.is_proven


def test_each_stall_of_the_loop_makes_trust_dearer_up_to_a_limit() -> None:
    quickness = proven()
    dearer = []
    for _ in range(6):
        quickness.ran_on_loop(STALL)
        dearer.append(runs_until_proven(quickness))
    assert dearer == [32, 64, 128, 256, 256, 256]


def test_trust_becomes_cheap_again_when_nothing_stalls() -> None:
    quickness = proven()
    for _ in range(6):
        quickness.ran_on_loop(STALL)
    runs_until_proven(quickness)
    for _ in range(500):
        quickness.ran_on_loop(QUICK)
    quickness.ran_on_loop(STALL)
    assert runs_until_proven(quickness) == 32
