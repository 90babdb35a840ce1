"""The jobs of a call one after the other: what is judged is kept, whatever becomes of the next one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sernet_core.errors import SernetError
from sernet_ros.evaluation import Evaluation
from sernet_ros.jobs import Job
from sernet_ros.results import say
from sernet_ros.startup import FAILED, INTERRUPTED
from sernet_ros.summary import leave_summary

if TYPE_CHECKING:
    from sernet_core.labels import ClassSet


@dataclass
class Verdicts:
    """What the jobs of a call came to.

    Attributes:
        wanted: How many were asked for.
        jobs: Those that were judged.
        reports: The content of their report.json.
        codes: Exit codes so far, also of those that could not be judged.
    """

    wanted: int
    jobs: list[Job] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)

    def add(self, job: Job, report: dict[str, Any]) -> None:
        """Keep a report."""
        self.jobs.append(job)
        self.reports.append(report)

    def finish(self, out: Path, classes: ClassSet, seconds: float) -> int:
        """Leave the summary where more than one job was asked for; returns the exit code of all together.

        Args:
            out: Folder of the results.
            classes: Class set of the model.
            seconds: What it took.
        """
        if self.wanted > 1 and self.reports:
            leave_summary(out, self.reports, [job.out for job in self.jobs], classes, self.wanted)
            say("summary", str(out / "summary.html"))
            say("took", f"{seconds:.0f} s in all")
        return INTERRUPTED if INTERRUPTED in self.codes else max(self.codes)


def judge_each(
    evaluations: Sequence[Evaluation],
    verdicts: Verdicts,
    judge: Callable[[Evaluation], int],
    goes_on: Callable[[], bool] = lambda: True,
) -> None:
    """Judge jobs one after the other; of several, one that cannot be judged does not end the others.

    Args:
        evaluations: What to judge.
        verdicts: Takes the exit codes.
        judge: Judges one, adds its report to the verdicts, and returns its exit code.
        goes_on: Whether the next one can be judged after what has happened.

    Raises:
        SernetError: The only job could not be judged.
        KeyboardInterrupt: The user interrupted before anything was judged.
    """
    try:
        for evaluation in evaluations:
            try:
                code = judge(evaluation)
            except SernetError as error:
                if verdicts.wanted == 1:
                    raise
                print(f"evaluate_bag: error: {evaluation.job.source.name}: {error}", file=sys.stderr)
                code = FAILED
            verdicts.codes.append(code)
            if code == INTERRUPTED or not goes_on():
                break
    except KeyboardInterrupt:
        if not verdicts.reports and not verdicts.codes:
            raise
        verdicts.codes.append(INTERRUPTED)
