"""Signals end a program once and at any moment; needs no ROS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BEGIN = """
import os, signal
from sernet_ros.interrupts import Interrupts
def send(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)
interrupts = Interrupts(7, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""


def run(code: str, **options) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        **options,
    )
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_before_the_beginning_the_process_just_ends(number: str) -> None:
    # An import would turn the exception into one of its own.
    code = f"try:\n    send(signal.{number})\nexcept BaseException as error:\n    print(error)"
    assert run(code) == (7, "")


def test_the_first_signal_is_an_exception_and_further_ones_are_nothing() -> None:
    code = """
interrupts.begin()
try:
    send(signal.SIGTERM)
except KeyboardInterrupt:
    send(signal.SIGTERM, signal.SIGINT, signal.SIGINT)
    print("tidied up", flush=True)
interrupts.ignore()
send(signal.SIGINT, signal.SIGTERM)
"""
    assert run(code) == (0, "tidied up")


def test_a_signal_waits_for_the_end_of_what_must_not_be_cut() -> None:
    code = """
interrupts.begin()
try:
    with interrupts.held():
        send(signal.SIGINT, signal.SIGTERM)
        print("whole")
    print("not reached")
except KeyboardInterrupt:
    print("taken")
"""
    assert run(code) == (0, "whole\ntaken")


def test_a_signal_is_not_lost_to_an_error() -> None:
    code = """
interrupts.begin()
try:
    with interrupts.held():
        send(signal.SIGINT)
        raise ValueError
except KeyboardInterrupt as taken:
    print(type(taken.__context__).__name__)
"""
    assert run(code) == (0, "ValueError")


def test_a_signal_that_was_taken_before_is_not_taken_again() -> None:
    code = """
interrupts.begin()
try:
    send(signal.SIGINT)
except KeyboardInterrupt:
    with interrupts.held():
        print("whole")
    print("goes on")
"""
    assert run(code) == (0, "whole\ngoes on")


def test_nohup_keeps_its_meaning_and_a_background_job_of_a_script_can_be_interrupted() -> None:
    def ignore() -> None:
        for number in (signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    code = "interrupts.begin(); send(signal.SIGHUP); print('goes on', flush=True)"
    assert run(code, preexec_fn=ignore) == (0, "goes on")
    assert run("send(signal.SIGINT)", preexec_fn=ignore) == (7, "")
