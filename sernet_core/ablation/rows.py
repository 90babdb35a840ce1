"""The variants that an ablation trains, and the networks by others that stand beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sernet_core.errors import ConfigError, unknown_name
from sernet_core.network import NetworkConfig
from sernet_core.peers.registry import PEERS, PeerConfig
from sernet_core.pretrained import PRUNED_FROM
from sernet_core.train.recipe import Recipe, read_recipe

BASE = "all"
COMPONENTS, GATE, LATERAL, WIDTH, BY_OTHERS = "components", "gate", "lateral", "width", "peers"
SETTINGS = "settings"  # rows of a file, see `changes`
REPEATED = (COMPONENTS, GATE, LATERAL, WIDTH, BY_OTHERS, SETTINGS)  # groups that are trained with more seeds
FULL_RATES = (12, 16, 18)  # of DbN, for images of full size


@dataclass(frozen=True)
class Row:
    """A variant: the recipe with some settings changed, or a network by others in it.

    Attributes:
        name: What to call it.
        group: What it varies; those of `REPEATED` are trained with more seeds than the others.
        settings: Fields of `NetworkConfig` and their values.
        recipe: Other fields of `Recipe` and their values; of `augment`, fields of `AugmentConfig`.
        peer: Key of `PEERS`; empty for a network of ours.
        against: The row that it differs from in one thing, and is compared with.
    """

    name: str
    group: str
    settings: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    peer: str = ""
    against: str = BASE

    @property
    def changes(self) -> dict[str, Any]:
        """What it changes in the recipe, as a recipe would say it."""
        network = {"network": self.peer or self.settings} if self.peer or self.settings else {}
        return {**network, **self.recipe}

    def network(self, base: NetworkConfig) -> NetworkConfig | PeerConfig:
        """The variant of a network, or the peer for its classes, its dilations as much smaller as DbN's."""
        if not self.peer:
            return replace(base, **self.settings)
        scale = sum(base.dbn_rates) / sum(FULL_RATES) * base.output_stride / 16
        return PeerConfig(self.peer, base.classes, round(scale, 4))

    def apply(self, base: Recipe) -> Recipe:
        """The recipe of this variant.

        Raises:
            ConfigError: It changes what no recipe has, or to something impossible.
        """
        values = asdict(base) | self.recipe | {"network": asdict(base.network)}
        values["augment"] = asdict(base.augment) | self.recipe.get("augment", {})
        return replace(read_recipe(values), network=self.network(base.network))  # type: ignore[arg-type]


_FIXED_ALONE = Row("gate fixed, no abm", GATE, {"gate": "fixed", "abm": False}, against="gate fixed")
_PARTS = ("abm", "dbn", "afn1", "afn2")


def rows_of(base: NetworkConfig) -> list[Row]:
    """The network itself, all variants that differ from it, and last the peers of its depth.

    Rates of DbN count in cells of the encoder's output: half the output stride takes them twice as large for
    the same view, and twice the output stride half as large, rounded up.
    """

    def rates(stride: int) -> tuple[int, ...]:
        return tuple(math.ceil(rate * base.output_stride / stride) for rate in base.dbn_rates)

    rows = [
        Row(BASE, COMPONENTS),
        *(Row(f"no {part}", COMPONENTS, {part: False}) for part in _PARTS),
        Row("none of them", COMPONENTS, dict.fromkeys(_PARTS, False)),
        *(Row(f"fusion {kind}", "fusion", {"fusion": kind}) for kind in ("concat", "add", "gated")),
        *(Row(f"gate {kind}", GATE, {"gate": kind}) for kind in ("learned", "fixed")),
        # A learned gate starts at no effect, so leaving it out changes little; a fixed one does not.
        *([_FIXED_ALONE] if base.gate == "learned" else []),
        *(Row(f"lateral {branch}", LATERAL, {"lateral": branch}) for branch in ("none", "skip", "context")),
        Row("narrow decoder", WIDTH, {"afn_channels": base.afn_channels * 5 // 8}),
        *(
            Row(f"stride {stride}", "output stride", {"output_stride": stride, "dbn_rates": rates(stride)})
            for stride in (16, 8, 32)
            if stride < 32 or base.depth not in PRUNED_FROM  # which then has a layer more than its weights
        ),
        *(
            Row(f"{kind} dbn", "kind of DbN", {"dbn_separable": kind == "separable"})
            for kind in ("separable", "dense")
        ),
        *(
            Row(f"rates {' '.join(map(str, rates))}", "DbN rates", {"dbn_rates": rates})
            for rates in ((1, 2, 3), (2, 3, 5), (3, 4, 5), (6, 8, 9), (12, 16, 18))
        ),
        *(
            Row(name, BY_OTHERS, peer=name)
            for name, peer in PEERS.items()
            if peer.arguments.get("depth") == base.depth
        ),
    ]
    return [row for row in rows if row.name == BASE or row.network(base) != base]


def folder_name(row: str) -> str:
    """What a row's name becomes in the names of its runs' folders."""
    return row.replace(",", "").replace(" ", "-")


def choose(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Rows by name or by group; all where nothing is named. What they are compared with is among them.

    Raises:
        ConfigError: There is no such row or group.
    """
    known = [*dict.fromkeys(row.group for row in rows), *(row.name for row in rows)]
    for name in names:
        if name not in known:
            raise ConfigError(unknown_name("row or group of an ablation", name, known))
    chosen = [row for row in rows if not names or {row.name, row.group} & set(names)]
    needed = {BASE, *(row.name for row in chosen), *(row.against for row in chosen)}
    return [row for row in rows if row.name in needed]
