"""What a run starts from: a model with the same encoder, or a deeper one to prune; and what of it stays."""

from __future__ import annotations

import torch

from sernet_core.checkpoint import Checkpoint
from sernet_core.errors import ConfigError, unknown_name
from sernet_core.labels import ClassSet
from sernet_core.network import NetworkConfig, SernetFormer, build_network
from sernet_core.pretrained import PRUNED_FROM, prune_encoder
from sernet_core.train.recipe import Recipe
from sernet_core.train.transfer import Transfer, other_settings, start_from


def check_start(start: Checkpoint, network: NetworkConfig) -> None:
    """Find out whether a run can start from a model: behind the encoder the recipe's network may differ.

    Raises:
        ConfigError: It has another encoder.
    """
    given = start.info.network
    if not isinstance(given, NetworkConfig):
        raise ConfigError(f"the model to start from is another network than the recipe's: {given}")
    pruned = PRUNED_FROM.get(network.depth) == given.depth
    if not (given.depth == network.depth or pruned) or (given.abm, given.gate) != (network.abm, network.gate):
        raise ConfigError(
            f"the model to start from has another encoder (depth {given.depth}, abm {given.abm}, gate "
            f"{given.gate}) than the recipe's network (depth {network.depth}, abm {network.abm}, gate "
            f"{network.gate})"
        )
    if pruned and network.output_stride == 32:
        raise ConfigError(
            f"output_stride: 32 gives depth {network.depth} a layer that the model to start from, of depth "
            f"{given.depth}, has no weights for; take 16 or 8"
        )


def check_frozen(recipe: Recipe, *, encoder: bool, start: bool) -> None:
    """Find out whether the parts that a recipe freezes are there, and have learned something before.

    Args:
        recipe: Settings of the run.
        encoder: Whether the run starts from weights for the encoder.
        start: Whether it starts from a model.

    Raises:
        ConfigError: A part is unknown, would stay as random as it begins, or nothing is left to learn.
    """
    if not recipe.freeze:
        return
    with torch.device("meta"):
        parts = [name for name, _ in build_network(recipe.network).named_children()]
    for name in recipe.freeze:
        if name not in parts:
            raise ConfigError(f"freeze: {unknown_name('part of the network', name, parts)}")
        if not (start or (encoder and name == "encoder")):
            given = "--from or --encoder" if name == "encoder" else "--from"
            raise ConfigError(
                f"freeze: {name} would stay as random as it begins; start from a model ({given})"
            )
    if not set(parts) - set(recipe.freeze):
        raise ConfigError("freeze: all parts of the network are named, and none is left to learn")


def check_kept(recipe: Recipe, transfer: Transfer) -> None:
    """Find out whether a run freezes nothing that the model to start from did not give.

    Raises:
        ConfigError: It would.
    """
    begun = [name.partition(".")[0] for name in transfer.parts] + ["head"] * bool(transfer.fresh)
    if random := [name for name in recipe.freeze if name in begun]:
        raise ConfigError(
            f"freeze: {', '.join(random)} would stay as random as it begins, for want of such weights in the "
            "model to start from; take it out"
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
        What was kept and what not; None where all was.
    """
    if start.info.network.depth == network.config.depth:
        return start_from(network, start, classes)
    own = network.encoder.state_dict()
    kept = prune_encoder(start.network.encoder.state_dict(), network.config.depth)
    network.encoder.load_state_dict({key: kept.get(key, value) for key, value in own.items()})
    fresh = [name for name, _ in network.named_children() if name != "encoder"]
    return Transfer(parts=fresh, settings=other_settings(start.info.network, network.config, fresh))
