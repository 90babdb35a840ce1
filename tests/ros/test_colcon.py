"""The package as colcon installs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from colcon_workspace import PACKAGE, ROOT, Workspace
from installed import ask, save_small_model
from live import fresh_domain, fresh_namespace

from sernet_ros.processes import Child

pytest.importorskip("colcon_core", reason="colcon is not installed (requirements/dev.txt)")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.getbasetemp() / "colcon")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_it_is_an_ament_package(workspace: Workspace) -> None:
    # With an address of the maintainer that catkin_pkg rejects, it silently becomes "(python)".
    assert workspace.colcon("list").split() == [PACKAGE, ".", "(ros.ament_python)"]
    assert (workspace.prefix / "share/ament_index/resource_index/packages" / PACKAGE).exists()


def test_executables_run_under_the_python_that_built_them(workspace: Workspace) -> None:
    assert {"segment", "replay", "demo", "make_bag", "evaluate_bag", "compare"} <= names(
        workspace.executables
    )
    for path in workspace.executables.iterdir():
        assert os.access(path, os.X_OK)
        assert path.read_text().splitlines()[0] == f"#!{sys.executable}"


def test_shared_files_are_all_installed(workspace: Workspace) -> None:
    assert (workspace.share / "package.xml").read_text() == (ROOT / "package.xml").read_text()
    for folder in ("launch", "config"):
        assert names(workspace.share / folder) == names(ROOT / folder)


def test_both_python_packages_are_installed_whole(workspace: Workspace, tmp_path: Path) -> None:
    script = "import sernet_core, sernet_ros; print(sernet_core.__file__, sernet_ros.__file__)"
    command = [sys.executable, "-c", script]
    found = subprocess.run(
        command, env=workspace.environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    for line in found.stdout.split():
        installed = Path(line).parent
        assert installed.is_relative_to(workspace.prefix)
        source = ROOT / installed.name
        assert {path.relative_to(source) for path in source.rglob("*.py")} == {
            path.relative_to(installed) for path in installed.rglob("*.py")
        }
        assert {path.name for path in source.glob("weights/*")} == {
            path.name for path in installed.glob("weights/*")
        }


def test_the_node_runs_from_there(workspace: Workspace, tmp_path: Path) -> None:
    model = save_small_model(tmp_path / "small.safetensors")
    namespace = fresh_namespace()
    command = [str(workspace.executables / "segment"), "--ros-args", "-r", f"__ns:={namespace}"]
    command += ["-p", f"model:={model}", "-p", "device:=cpu"]
    environment = {**workspace.environment, "ROS_DOMAIN_ID": str(fresh_domain())}
    log = tmp_path / "node.log"
    with Child("segment", command, log, environment) as node:
        image, mask = ask(
            f"{namespace}/image",
            f"{namespace}/semantic_mask",
            lambda: None if node.exit_code is None else node.last_words(),
        )
    assert node.exit_code == 0, node.last_words()
    assert mask.header == image.header
    assert (mask.width, mask.height, mask.encoding) == (image.width, image.height, "mono8")
    # The installed profile, not that of the source tree.
    assert str(workspace.share / "config" / "fastdds.xml") in log.read_text()
