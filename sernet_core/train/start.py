"""The model that a run starts from: the same network, or the deeper one that the recipe's is pruned from."""

from __future__ import annotations

from dataclasses import replace

from sernet_core.checkpoint import Checkpoint
from sernet_core.errors import ConfigError
from sernet_core.labels import ClassSet
from sernet_core.network import NetworkConfig, SernetFormer
from sernet_core.pretrained import PRUNED_FROM, prune_encoder
from sernet_core.train.transfer import Transfer, start_from


def check_start(start: Checkpoint, network: NetworkConfig) -> None:
    """Find out whether a run can start from a model; its classes and the dilations of DbN may be others.

    Raises:
        ConfigError: It is another network.
    """
    given = start.info.network
    if not isinstance(given, NetworkConfig):
        raise ConfigError(f"the model to start from is another network than the recipe's: {given}")
    same = replace(given, classes=network.classes, dbn_rates=network.dbn_rates) == network
    pruned = PRUNED_FROM.get(network.depth) == given.depth
    if not same and not (pruned and (given.abm, given.gate) == (network.abm, network.gate)):
        raise ConfigError(f"the model to start from is another network than the recipe's: {given}")
    if not same and network.output_stride == 32:
        raise ConfigError(
            f"output_stride: 32 gives depth {network.depth} a layer that the model to start from, of depth "
            f"{given.depth}, has no weights for; take 16 or 8"
        )


def load_start(network: SernetFormer, start: Checkpoint, classes: ClassSet) -> Transfer | None:
    """Give a network the weights of the model to start from, see `check_start`.

    A pruned network takes the kept blocks of the encoder, and keeps its own first weights behind it: the
    decoder of the deeper one has learned from other features.

    Args:
        network: To load into, as it was built.
        start: The model to start from.
        classes: Class set of the network.

    Returns:
        What was kept and what not, where the model has other classes; else None.
    """
    if start.info.network.depth == network.config.depth:
        return start_from(network, start, classes)
    own = network.encoder.state_dict()
    kept = prune_encoder(start.network.encoder.state_dict(), network.config.depth)
    network.encoder.load_state_dict({key: kept.get(key, value) for key, value in own.items()})
    return None
