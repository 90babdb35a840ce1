"""Builds a ROS message package from its definitions, with the generators that the ROS wheels bring.

For messages whose package is not on the index: so that the node is tested with real message classes and their
real type support. Needs a C++ compiler and Python's headers. Run as a program with the folder to build into:
the generators want AMENT_PREFIX_PATH, and leave things behind in their process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np

PACKAGE = "vision_msgs"
DEFINITIONS = {
    "VisionClass": "uint16 class_id\nstring class_name\n",
    "LabelInfo": "std_msgs/Header header\nVisionClass[] class_map\nfloat32 threshold\n",
}
NEEDED = ("std_msgs", "builtin_interfaces")  # the packages of the messages in these messages
KINDS = (
    "rosidl_generator_c",
    "rosidl_typesupport_fastrtps_c",
    "rosidl_typesupport_introspection_c",
    "rosidl_typesupport_c",
)
"""Generators of C sources, whose results become a library each; each may need those before it."""
PREFIX = Path(sys.prefix)


def obstacle() -> str:
    """Why the package cannot be built here; empty when it can."""
    if not (PREFIX / "share" / "rosidl_generator_py").is_dir():
        return "the ROS wheels with their message generators are not installed"
    if shutil.which("cc") is None or shutil.which("c++") is None:
        return "there is no C++ compiler"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "Python's headers are not installed"
    return ""


def build(folder: Path) -> None:
    """Build the package into a folder that can stand in PYTHONPATH."""
    environment = {**os.environ, "AMENT_PREFIX_PATH": str(PREFIX)}
    command = [sys.executable, __file__, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _generate(folder: Path) -> None:
    """Write the package's Python and C sources, each generator's into a folder of its own."""
    from rosidl_cli.command.translate.api import translate
    from rosidl_generator_c.cli import GenerateC
    from rosidl_generator_py.cli import GeneratePython
    from rosidl_typesupport_c.cli import GenerateCTypesupport
    from rosidl_typesupport_fastrtps_c.cli import GenerateFastRTPSCTypesupport
    from rosidl_typesupport_introspection_c.cli import GenerateIntrospectionCTypesupport

    interfaces = folder / "interfaces" / PACKAGE
    (interfaces / "msg").mkdir(parents=True)
    for name, text in DEFINITIONS.items():
        (interfaces / "msg" / f"{name}.msg").write_text(text)
    share = PREFIX / "share"
    files = translate(
        package_name=PACKAGE,
        interface_files=[f"{interfaces}:msg/{name}.msg" for name in DEFINITIONS],
        include_paths=[str(share)],
        output_format="idl",
        output_path=interfaces,
    )
    include_paths = [str(interfaces), *(str(share / name) for name in NEEDED)]
    for generator in (
        GenerateC("rosidl_generator_c"),
        GenerateFastRTPSCTypesupport("rosidl_typesupport_fastrtps_c"),
        GenerateIntrospectionCTypesupport("rosidl_typesupport_introspection_c"),
        GenerateCTypesupport("rosidl_typesupport_c"),
    ):
        generator.generate(PACKAGE, files, include_paths, folder / generator.name / PACKAGE)
    python = GeneratePython("py", typesupport_implementations=["rosidl_typesupport_c"])
    python.generate(PACKAGE, files, include_paths, folder / PACKAGE)


def _compile(folder: Path) -> None:
    """Compile the sources into the libraries and the module that the Python classes load."""
    include, lib = PREFIX / "include", PREFIX / "lib"
    includes = [*(folder / kind for kind in KINDS), include, *filter(Path.is_dir, include.iterdir())]
    includes += [Path(sysconfig.get_path("include")), Path(np.get_include())]
    made: list[str] = []

    def link(sources: Path, target: Path) -> None:
        command = ["cc", "-shared", "-fPIC", "-w", "-o", str(target), f"-Wl,-soname,{target.name}"]
        command += [f"-I{path}" for path in includes]
        for language, suffix in (("c", "*.c"), ("c++", "*.cpp")):
            command += ["-x", language, *map(str, sources.rglob(suffix))]
        command += ["-x", "none", "-Wl,--no-as-needed", *made, f"-L{lib}", f"-Wl,-rpath,{lib}:$ORIGIN"]
        command += [f"-l{name}" for name in ("rosidl_runtime_c", *KINDS[1:], "fastcdr")]
        command += ["-lrosidl_typesupport_fastrtps_cpp", "-lstdc++"]
        command += [f"-l{name}__{kind}" for name in NEEDED for kind in (*KINDS, "rosidl_generator_py")]
        subprocess.run(command, check=True)

    for kind in KINDS:
        target = folder / PACKAGE / f"lib{PACKAGE}__{kind}.so"
        link(folder / kind, target)
        # The C type support opens the others by name: found, as the module has loaded them already.
        made.append(str(target))
    link(folder / PACKAGE, folder / PACKAGE / f"{PACKAGE}_s__rosidl_typesupport_c.so")


if __name__ == "__main__":
    _generate(Path(sys.argv[1]))
    _compile(Path(sys.argv[1]))
