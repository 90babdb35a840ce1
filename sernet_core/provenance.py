"""What a model has seen, by its metadata: its own run, and the models that it goes on from or learned by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

ROLES = ("started_from", "teacher")


def lineage(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The `data` of a model's metadata, and of every model that it was made from or learned from.

    A model that masked the labels of a second data set is one of these.
    """
    yield data
    masked = data.get("extra", {}).get("masked", {})
    for before in (*_models_of(data, ROLES), masked):
        if before:
            yield from lineage(before.get("data", {}))


def ancestors(data: Mapping[str, Any]) -> Iterator[str]:
    """SHA-256 of every model whose weights a model goes on from, as far as they were recorded."""
    for before in _models_of(data, ("started_from",)):
        if digest := before.get("sha256"):
            yield digest
        yield from ancestors(before.get("data", {}))


def _models_of(data: Mapping[str, Any], roles: Iterable[str]) -> list[Mapping[str, Any]]:
    """What a model's metadata has of the models in these roles, and of those that it is the average of."""
    return [data[role] for role in roles if data.get(role)] + list(data.get("averaged", ()))


def saw_val(data: Mapping[str, Any]) -> bool:
    """Whether `val` of a data set was trained on: by name, in `all`, or as its own second data set.

    A name cannot tell whether `all without PREFIXES`, or `all` of a second data set, has a val in it: neither
    counts, for something was held back.
    """
    return any(_on_val(run) for run in lineage(data))


def _on_val(run: Mapping[str, Any]) -> bool:
    train, extra = run.get("train") or "", run.get("extra", {}).get("train", "")
    own = train.partition("/")[0]  # the val of other data says nothing of this one's
    return "val" in (*run.get("parts", ()), _split(train)) or train.endswith("/all") or extra == f"{own}/val"


def _split(name: str) -> str:
    """The split in the name of a data set, "ROOT/SPLIT" or "ROOT/SPLIT without PREFIXES"."""
    return name.rpartition("/")[2].partition(" without ")[0]


def join_notices(notices: Iterable[str]) -> str:
    """One notice of several, without those that others say in full."""
    kept: list[str] = []
    for notice in notices:
        lines = {*notice.splitlines()}
        if lines and not any(lines <= {*other.splitlines()} for other in kept):
            kept = [other for other in kept if not {*other.splitlines()} <= lines] + [notice]
    return "\n".join(kept)


def saw_scenes(data: Mapping[str, Any]) -> bool:
    """Whether procedural training scenes were trained on."""
    return any(run.get("synthetic_share") for run in lineage(data))


def pretrained_encoder(data: Mapping[str, Any]) -> Mapping[str, str] | None:
    """File and sha256 of the pretrained encoder of a model, or of the one that its training started from."""
    if encoder := data.get("encoder"):
        return dict(encoder)
    before = (pretrained_encoder(model.get("data", {})) for model in _models_of(data, ("started_from",)))
    return next(filter(None, before), None)
