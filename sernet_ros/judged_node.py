"""The parameters with which a node answers the replayer's frames, and with masks that can be scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sernet_core.errors import ConfigError
from sernet_ros.settings import FIELDS

GIVEN: Mapping[str, str] = {
    "autostart": "true",
    "enable": "true",
    "cameras": "['']",
    "image_transport": "raw",
    "input_qos": "reliable",
    "output_qos": "reliable",
}
"""What a node that is started is given whatever else is asked for, in YAML: or no frame would be answered."""

DEMANDED: Mapping[str, tuple[Any, ...]] = {
    "image_transport": ("raw",),
    "output_qos": ("auto", "reliable"),
    "label_remap": ("",),
    "mask_encoding": ("raw",),
    "mask_scale": (1.0,),
}
"""What every node must have: masks that arrive, with the model's own ids at the size of the image."""


def check_words(words: Sequence[str]) -> None:
    """Refuse parameters of a node that is started, NAME:=VALUE, which are not for the user to choose.

    Raises:
        ConfigError: One of `GIVEN` or `DEMANDED`, or the model, which has an option of its own.
    """
    for word in words:
        name = word.partition(":=")[0].rpartition(":")[2]
        if name in GIVEN:
            given = f"{name}:={GIVEN[name]}"
            raise ConfigError(f"--param {word}: a node that is started has {given}; leave it away")
        if name in DEMANDED:
            raise ConfigError(f"--param {word}: {_REASONS[name]}; leave it away")
        if name == "model":
            raise ConfigError(f"--param {word}: name the checkpoint with --model")


def check_values(values: Mapping[str, Any]) -> None:
    """Refuse a node by the values of its parameters.

    Raises:
        ConfigError: One is not what is `DEMANDED`.
    """
    for name, value in values.items():
        wanted = DEMANDED[name]
        if value not in wanted:
            remedy = f"Set it to {wanted[0]!r}"
            if FIELDS[name].metadata["takes"] == "configure":
                remedy += ", once the node is deactivated and cleaned up"
            raise ConfigError(f"the node has {name} = {value!r}: {_REASONS[name]}. {remedy}")


_REASONS = {
    "image_transport": "it does not listen to the raw images that are replayed",
    "output_qos": "it publishes best effort, and its masks are received reliably",
    "label_remap": "the ids of its masks are not those of the model's classes",
    "mask_encoding": "its masks are no pictures of ids",
    "mask_scale": "its masks have not the size of their frames",
}
