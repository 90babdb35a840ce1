"""What a benchmark is asked to do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sernet_core.checkpoint import resolve_model
from sernet_core.engines.registry import CHOICES
from sernet_core.errors import ConfigError, unknown_name

AUTO = "auto"


@dataclass(frozen=True)
class Settings:
    """What a run is asked to do.

    Attributes:
        models: Paths or names.
        engines: Names and precisions, e.g. "openvino", "openvino:int8" or "auto"; eager is always among them.
        sizes: Widths and heights of the frames.
        input_size: Rule for the size at which the network sees them, as for the Segmenter.
        device: "cpu" or "cuda:N".
        threads: CPU threads; 0 leaves the choice to the engine.
        repeats: Rounds; what takes over 0.3 s leaves after ten.
        peers: Networks by others, see `sernet_core.peers.registry.PEERS`; their weights are random.
        nodes: Whether each engine is also asked over ROS, by what `run` gets as `extra`.
        standin_ms: With nodes: milliseconds of the network that sleeps.
        named: Which of the models, engines and peers were asked for by name. That one of these cannot be
            timed is a fault; the others are defaults, of which what is not to be had here is left out.
    """

    models: tuple[str, ...]
    engines: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    input_size: str
    device: str
    threads: int
    repeats: int
    peers: tuple[str, ...] = ()
    nodes: bool = False
    standin_ms: int = 0
    named: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.repeats < 1 or self.threads < 0:
            raise ConfigError(f"needs repeats >= 1 and threads >= 0, got {self.repeats} and {self.threads}")
        if len(set(self.models)) < len(self.models):
            raise ConfigError(f"a model is named twice: {', '.join(self.models)}")
        for engine in self.engines:
            if (name := engine.partition(":")[0]) not in CHOICES:
                raise ConfigError(unknown_name("engine", name, CHOICES))

    @property
    def all_engines(self) -> tuple[str, ...]:
        """Each engine once, eager first."""
        return tuple(dict.fromkeys(("eager", *self.engines)))

    @property
    def names(self) -> dict[str, str]:
        """What each model is called in the results: its file's name, with its folder where two are alike.

        Raises:
            CheckpointError: One cannot be found.
        """
        paths = {model: resolve_model(model) for model in self.models}
        files = Counter([*(path.stem for path in paths.values()), *self.peers])
        folders = Counter((path.parent.name, path.stem) for path in paths.values())
        return {
            model: path.stem
            if files[path.stem] == 1
            else f"{path.parent.name}/{path.stem}"
            if folders[path.parent.name, path.stem] == 1
            else str(path.with_suffix(""))
            for model, path in paths.items()
        }

    def engines_of(self, *, is_peer: bool) -> tuple[str, ...]:
        """Engines of a model, or of a peer: random weights are neither quantised nor checked for parity."""
        return tuple(
            engine
            for engine in self.all_engines
            if not (is_peer and (engine.partition(":")[0] == AUTO or engine.endswith(":int8")))
        )
