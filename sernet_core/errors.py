"""Errors that a caller can act on: each names what was wrong, where, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SernetError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(SernetError):
    """A setting, an option or a name that does not exist or does not fit."""


class CheckpointError(SernetError):
    """A weights file that cannot be read or does not fit the network."""


class InputError(SernetError):
    """An image, a label or a data set that is not what it must be.

    Args:
        words: The message.
        cause: What all messages of this kind have in common, for those who tell of each kind once.

    Attributes:
        cause: As given.
    """

    def __init__(self, words: str = "", cause: object = None) -> None:
        super().__init__(words)
        self.cause = cause


class NoImagesError(InputError):
    """A folder that should hold images holds none."""


class DivergedError(InputError):
    """Training cannot go on: its loss or gradient is not finite, again and again."""


class EngineError(SernetError):
    """The network could not be run, or its result cannot be trusted."""


def missing_package(error: Exception, python: str) -> str:
    """What to do about a Python package, torch most likely, that cannot be imported.

    Args:
        error: What the import raised: ImportError, or OSError where a shared library does not load.
        python: Path of the interpreter.

    Raises:
        ImportError: The very error, where it is one of these packages that lacks something: a fault of the
            program, which no user can install.
    """
    if (getattr(error, "name", None) or "").startswith("sernet_"):
        raise error
    return (
        f"a package is missing: {error}\n"
        f"The Python that runs this program has no (working) torch or one of its companions: {python}\n"
        "Install the requirements in the environment that colcon built with (see docs/install.md): a\n"
        "virtual environment made with --system-site-packages, and `colcon build` run by its Python."
    )


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Words for "there is no such name": the nearest known name first, then all of them.

    Args:
        kind: What the name stands for, e.g. "model".
        name: The name that was not found.
        known: The names that exist.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"unknown {kind} '{name}'.{hint} Known: {', '.join(known) or 'none'}"
