"""The model that a run starts from: the same network, or the deeper one that the recipe's is pruned from."""

from __future__ import annotations

from sernet_core.checkpoint import Checkpoint
from sernet_core.errors import ConfigError
from sernet_core.labels import ClassSet
from sernet_core.network import NetworkConfig, SernetFormer
from sernet_core.pretrained import PRUNED_FROM, prune_encoder


def check_start(start: Checkpoint, network: NetworkConfig, classes: ClassSet) -> None:
    """Find out whether a run can start from a model.

    Raises:
        ConfigError: It is another network, or has other classes than the data.
    """
    given = start.info.network
    pruned = PRUNED_FROM.get(network.depth) == given.depth and given.abm == network.abm
    if given != network and not (pruned and given.gate == network.gate):
        raise ConfigError(f"the model to start from is another network than the recipe's: {given}")
    if difference := start.info.classes.difference(classes):
        raise ConfigError(f"the model to start from has other classes than the data: {difference}")


def load_start(network: SernetFormer, start: Checkpoint) -> None:
    """Give a network the weights of the model to start from.

    A pruned network takes the kept blocks of the encoder, and keeps its own first weights behind it: the
    decoder of the deeper one has learned from other features.
    """
    if start.info.network == network.config:
        network.load_state_dict(start.network.state_dict())
        return
    own = network.encoder.state_dict()
    kept = prune_encoder(start.network.encoder.state_dict(), network.config.depth)
    network.encoder.load_state_dict({key: kept.get(key, value) for key, value in own.items()})
