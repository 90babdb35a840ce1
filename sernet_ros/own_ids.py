"""Whether a node's masks hold the ids of its model at the size of the image: only then are they scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sernet_core.errors import ConfigError
from sernet_ros.settings import FIELDS

CHANGING = ("label_remap", "mask_encoding", "mask_scale")
"""Parameters of the node that give its masks other ids, another size or another form."""


def check_words(words: Sequence[str]) -> None:
    """Refuse parameters, NAME:=VALUE, with which the masks could not be read as the model's.

    Raises:
        ConfigError: One of `CHANGING`, or the model, which has an option of its own.
    """
    for word in words:
        name = word.partition(":=")[0].rpartition(":")[2]
        if name in CHANGING:
            raise ConfigError(f"--param {word}: {_reason(name)}; leave it away")
        if name == "model":
            raise ConfigError(f"--param {word}: name the checkpoint with --model")


def check_values(values: Mapping[str, Any]) -> None:
    """Refuse a node by the values of its parameters.

    Raises:
        ConfigError: One of `CHANGING` is not what it is by default.
    """
    for name, value in values.items():
        default = FIELDS[name].default
        if value != default:
            words = f"'{default}'" if isinstance(default, str) else f"{default:g}"
            raise ConfigError(f"the node has {name} = {value!r}: {_reason(name)}. Set it to {words}")


def _reason(name: str) -> str:
    what = {
        "label_remap": "the ids of its masks are not those of the model's classes",
        "mask_encoding": "its masks are no pictures of ids",
        "mask_scale": "its masks have not the size of their frames",
    }
    return what[name]
