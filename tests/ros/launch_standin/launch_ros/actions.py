"""Stand-in for `launch_ros.actions`."""

from __future__ import annotations

from pathlib import Path

import yaml
from ament_index_python.packages import get_package_prefix
from launch import LaunchContext, LaunchDescriptionEntity, Substitution, performed

from .parameter_descriptions import ParameterValue


class Node(LaunchDescriptionEntity):
    """A node as a process: turned into the argument vector that the real action makes of it.

    That is `lib/PACKAGE/EXECUTABLE ARGUMENTS --ros-args -r __node:=N -r __ns:=/NS --params-file F ... -r
    FROM:=TO ...`; without a name or a namespace the program keeps its own. A dictionary of parameters becomes
    a file whose entries stand under the node's full name.
    """

    def __init__(
        self,
        *,
        executable: str,
        package: str,
        name: str | None = None,
        namespace: str | None = None,
        arguments: list[str] | None = None,
        parameters: list[str | dict[str, object]] | None = None,
        remappings: list[tuple[str, str]] | None = None,
        sigterm_timeout: str | Substitution = "5",
        sigkill_timeout: str | Substitution = "5",
        output: str = "log",
    ) -> None:
        assert output in ("screen", "log", "both", "own_log", "full")
        if not all(isinstance(one, (str, Substitution)) for one in (sigterm_timeout, sigkill_timeout)):
            raise TypeError("the timeouts are texts or substitutions")
        self.package = package
        self.executable = executable
        self.name = name
        self.namespace = namespace
        self.arguments = arguments or []
        self.parameters = parameters or []
        self.remappings = remappings or []
        self.timeouts = (sigterm_timeout, sigkill_timeout)

    def execute(self, context: LaunchContext) -> None:
        executable = Path(get_package_prefix(self.package)) / "lib" / self.package / self.executable
        namespace = "/" + (self.namespace or "").strip("/")
        command = [str(executable), *self.arguments, "--ros-args"]
        if self.name is not None:
            command += ["-r", f"__node:={self.name}"]
        if self.namespace is not None:
            command += ["-r", f"__ns:={namespace}"]
        for number, parameters in enumerate(self.parameters):
            if isinstance(parameters, dict):
                path = context.folder / f"launch_params_{len(context.commands)}_{number}.yaml"
                full_name = f"{namespace.rstrip('/')}/{self.name}"
                values = {
                    key: value.evaluate(context) if isinstance(value, ParameterValue) else value
                    for key, value in parameters.items()
                }
                path.write_text(yaml.safe_dump({full_name: {"ros__parameters": values}}))
                parameters = str(path)
            command += ["--params-file", parameters]
        for source, target in self.remappings:
            command += ["-r", f"{source}:={target}"]
        context.commands.append(command)
        context.timeouts.append([float(performed(timeout, context)) for timeout in self.timeouts])
