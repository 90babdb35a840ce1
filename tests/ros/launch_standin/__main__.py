"""A small `ros2 launch` without launch: `python launch_standin FILE [options] [name:=value ...]`.

The launch file runs on the stand-ins beside this file. `--show-args` lists its arguments; `--dry-run` starts
nothing and prints the processes' argument vectors and the parameter files that were made, as JSON.
"""

from __future__ import annotations

import argparse
import json
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument


def execute(entity: LaunchDescriptionEntity, context: LaunchContext) -> None:
    """Execute an entity and all that follow from it."""
    for following in entity.execute(context) or ():
        execute(following, context)


def show_arguments(description: LaunchDescription) -> None:
    """List the arguments in the words of `ros2 launch --show-args`."""
    print("Arguments (pass arguments as '<name>:=<value>'):")
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            print(f"\n    '{entity.name}':\n        {entity.description}")
            print(f"        (default: {entity.default_value!r})")


def run(commands: list[list[str]], timeouts: list[list[float]]) -> int:
    """Run the processes until all have ended.

    As in launch, SIGINT is passed on to them, and who does not end gets SIGTERM, and at last SIGKILL.
    """
    processes = [subprocess.Popen(command) for command in commands]

    def pass_on(number: int, _frame: object) -> None:
        for process, (until_term, until_kill) in zip(processes, timeouts, strict=True):
            process.send_signal(number)
            for seconds, harder in (
                (until_term, signal.SIGTERM),
                (until_term + until_kill, signal.SIGKILL),
            ):
                timer = threading.Timer(seconds, process.send_signal, (harder,))
                timer.daemon = True
                timer.start()

    signal.signal(signal.SIGINT, pass_on)
    return max(abs(process.wait()) for process in processes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--show-args", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("arguments", nargs="*", metavar="name:=value")
    options = parser.parse_intermixed_args()

    description = runpy.run_path(str(options.file))["generate_launch_description"]()
    if options.show_args:
        show_arguments(description)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        context = LaunchContext(dict(item.split(":=", 1) for item in options.arguments), Path(folder))
        execute(description, context)
        if not options.dry_run:
            return run(context.commands, context.timeouts)
        files = {str(path): path.read_text() for path in Path(folder).iterdir()}
        print(json.dumps({"commands": context.commands, "timeouts": context.timeouts, "files": files}))
        return 0


if __name__ == "__main__":
    sys.exit(main())
