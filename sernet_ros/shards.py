"""One recording over several processes: each takes a stretch of it, and the first one puts them together.

`torchrun` starts the processes, on one machine or several; they talk through torch.distributed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sernet_core.errors import ConfigError, SernetError
from sernet_ros.matching import ReplayLog
from sernet_ros.offline import OfflineRun, Part
from sernet_ros.recording import Recording, RecordingState
from sernet_ros.sources import Source


@dataclass(frozen=True)
class Shard:
    """This process among those of a run; `count` is 1 where there is only one."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the results."""
        return self.rank == 0

    def part(self, source: Source, frames: int | None) -> Part | None:
        """The stretch of a source that this process takes; None: all of it.

        Raises:
            ConfigError: The source does not know its length.
        """
        if self.count == 1:
            return None
        if source.length is None:
            raise ConfigError(f"{source.name}: does not say how many frames it has, so it cannot be shared")
        length = min(source.length, frames or source.length)
        edges = [length * rank // self.count for rank in range(self.count + 1)]
        # What comes beyond the length that was told is the last one's.
        return Part(edges[self.rank], edges[self.rank + 1] if self.rank + 1 < self.count else None)

    def gather(self, run: OfflineRun, recording: Recording, began_ns: int) -> OfflineRun:
        """Put the stretches together: the first process gets all, the others keep theirs.

        Args:
            run: Of this process.
            recording: Of this process; that of the first one takes in all others.
            began_ns: When the processes began together, on this machine's monotonic clock.
        """
        if self.count == 1:
            return run
        import torch.distributed as dist

        run = _shifted(run, began_ns)
        state = recording.state(began_ns)
        parts: list[tuple[OfflineRun, RecordingState]] | None = [None] * self.count if self.first else None  # type: ignore[list-item]
        dist.gather_object((run, state), parts)
        if parts is None:
            return run
        recording.replace([state for _, state in parts])
        return _joined([one for one, _ in parts])

    def first_decides(self, act: Callable[[], int]) -> int:
        """Have the first process do something while the others wait; its result in all of them.

        Raises:
            SernetError: It could not, in all of them.
        """
        if self.count == 1:
            return act()
        import torch.distributed as dist

        result: int | SernetError = 0
        if self.first:
            try:
                result = act()
            except SernetError as error:
                result = _bare(error)
        results = [result]
        dist.broadcast_object_list(results)
        if isinstance(results[0], SernetError):
            raise results[0]
        return results[0]

    def raise_any(self, error: SernetError | None) -> None:
        """Raise an error that any process had, in all of them; returns once every process is here.

        Args:
            error: Of this process.
        """
        errors = [error]
        if self.count > 1:
            import torch.distributed as dist

            errors *= self.count
            dist.all_gather_object(errors, error and _bare(error))
        for each in errors:
            if each is not None:
                raise each


@contextmanager
def join_shards() -> Iterator[Shard]:
    """Meet the other processes that torchrun started; alone without it."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Shard()
        return
    import torch.distributed as dist

    dist.init_process_group("gloo")
    try:
        yield Shard(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def _bare(error: SernetError) -> SernetError:
    """An error without what another process might not understand."""
    return type(error)(str(error))


def _shifted(run: OfflineRun, began_ns: int) -> OfflineRun:
    """A run on a clock that begins with the run: those of different machines have nothing else in common."""
    sent = tuple(
        replace(
            frame,
            sent_ns=frame.sent_ns - began_ns,
            answered_ns=None if frame.answered_ns is None else frame.answered_ns - began_ns,
        )
        for frame in run.log.sent
    )
    usage = [replace(sample, at_ns=sample.at_ns - began_ns) for sample in run.usage]
    return replace(run, log=replace(run.log, sent=sent), usage=usage)


def _joined(runs: Sequence[OfflineRun]) -> OfflineRun:
    """All stretches in order; the usage is that of the first process."""
    return OfflineRun(
        ReplayLog(
            *(
                tuple(entry for run in runs for entry in getattr(run.log, name))
                for name in ("sent", "unreadable", "broken")
            )
        ),
        runs[0].usage,
        [words for run in runs for words in run.failures],
        any(run.interrupted for run in runs),
    )
