"""What is packaged agrees with itself: versions, entry points, dependencies, installed files, set-up."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE_XML = ElementTree.parse(ROOT / "package.xml").getroot()
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def setup_arguments() -> dict:
    """What setup.py passes to setuptools."""
    import setuptools

    passed: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, "setup", passed.update)
        runpy.run_path("setup.py")
    return passed


@pytest.fixture(scope="module")
def setup_venv() -> SimpleNamespace:
    """The names in scripts/setup_venv.py."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / "scripts" / "setup_venv.py")))


def text(tag: str) -> str:
    element = PACKAGE_XML.find(tag)
    assert element is not None and element.text
    return element.text.strip()


def test_versions_and_names_agree(setup_arguments: dict) -> None:
    assert setup_arguments["name"] == text("name") == "sernet_ros"
    assert setup_arguments["version"] == text("version")
    assert setup_arguments["maintainer_email"] == PACKAGE_XML.find("maintainer").get("email")
    assert setup_arguments["license"] == text("license")
    assert f"\n## [{text('version')}]" in (ROOT / "CHANGELOG.md").read_text()


def test_package_xml_is_accepted_by_catkin_pkg() -> None:
    catkin = pytest.importorskip("catkin_pkg.package", reason="catkin_pkg is not installed")
    package = catkin.parse_package_string((ROOT / "package.xml").read_text())
    package.validate()
    assert package.get_build_type() == "ament_python"


def test_dependencies_have_the_form_of_rosdep_keys() -> None:
    keys = [element.text for element in PACKAGE_XML if element.tag.endswith("depend")]
    assert len(keys) == len(set(keys)) > 10
    for key in keys:
        assert re.fullmatch(r"[a-z][a-z0-9_]*|python3-[a-z0-9-]+", key), key
    assert not {"torch", "safetensors", "python3-torch", "python3-safetensors"} & set(keys)


def test_ros_imports_are_declared() -> None:
    declared = {element.text for element in PACKAGE_XML if element.tag.endswith("depend")}
    pattern = re.compile(
        r"^\s*(?:from|import) (rclpy|cv_bridge|launch|launch_ros|ament_index_python|\w+_msgs)\b", re.M
    )
    used = set()
    for folder in ("sernet_core", "sernet_ros", "launch"):
        for path in (ROOT / folder).rglob("*.py"):
            used |= set(pattern.findall(path.read_text()))
    assert used - declared == set()


def test_entry_points_exist(setup_arguments: dict) -> None:
    scripts = dict(entry.split(" = ") for entry in setup_arguments["entry_points"]["console_scripts"])
    assert set(scripts) == {
        "segment",
        "replay",
        "demo",
        "make_bag",
        "evaluate_bag",
        "compare",
        "benchmark",
        "view",
        "sernet",
    }
    for target in scripts.values():
        module, function = target.split(":")
        assert importlib.util.find_spec(module) is not None, module
        assert callable(getattr(importlib.import_module(module), function))


def test_every_shared_file_and_subpackage_is_installed(setup_arguments: dict) -> None:
    installed = {source for _, sources in setup_arguments["data_files"] for source in sources}
    for folder in ("launch", "config"):
        for path in (ROOT / folder).iterdir():
            assert path.name == "__pycache__" or f"{folder}/{path.name}" in installed
    with_code = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for name in ("sernet_core", "sernet_ros")
        for path in (ROOT / name).rglob("*.py")
    }
    assert with_code == set(setup_arguments["packages"])


def test_requirements_are_pinned() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        lines = [line.split(" \\")[0] for line in path.read_text().splitlines()]
        for line in lines:
            if line and not re.match(r"#|-r \w+\.txt$|\s+--hash=sha256:[0-9a-f]{64}$", line):
                assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", line), f"{path.name}: {line}"


def test_one_version_of_each_requirement() -> None:
    versions: dict[str, set[str]] = {}
    for path in (ROOT / "requirements").iterdir():
        for name, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", path.read_text(), re.M):
            versions.setdefault(re.sub(r"[-_.]+", "-", name.lower()), set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_ros_requirements_have_hashes() -> None:
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements" / "ros.txt").read_text())
    pinned = [block for block in blocks if "==" in block and not block.startswith("#")]
    assert len(pinned) > 50
    assert all("--hash=sha256:" in block for block in pinned)


def test_no_file_is_too_large() -> None:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    sizes = {
        name: (ROOT / name).stat().st_size for name in listed.stdout.split("\0") if (ROOT / name).is_file()
    }
    assert {name: size for name, size in sizes.items() if size > 50 * MEGABYTE} == {}


class TestSetup:
    """A missing prerequisite is named with its remedy."""

    def test_supported_python(self, setup_venv: SimpleNamespace) -> None:
        setup_venv.check_python((3, 11), lambda name: True)
        setup_venv.check_python((3, 12), lambda name: True)

    @pytest.mark.parametrize("version", [(3, 10), (3, 13), (2, 7)])
    def test_other_python(self, setup_venv: SimpleNamespace, version: tuple[int, int]) -> None:
        with pytest.raises(setup_venv.SetupError, match=r"3\.11 and 3\.12.*\n.*\n.*PYTHON="):
            setup_venv.check_python(version, lambda name: True)

    @pytest.mark.parametrize("missing", ["venv", "ensurepip"])
    def test_without_venv(self, setup_venv: SimpleNamespace, missing: str) -> None:
        with pytest.raises(setup_venv.SetupError, match=r"apt install python3\.12-venv"):
            setup_venv.check_python((3, 12), lambda name: name != missing)

    def test_full_disk(self, setup_venv: SimpleNamespace) -> None:
        with pytest.raises(setup_venv.SetupError, match="CPU-only"):
            setup_venv.check_space(5.0, [])
        setup_venv.check_space(5.0, ["--extra-index-url", "somewhere/cpu"])
        setup_venv.check_space(5.0, [], minimum_gb=0.0)
        with pytest.raises(setup_venv.SetupError, match="needs 7 GB"):
            setup_venv.check_space(5.0, ["cpu"], minimum_gb=7.0)

    def test_an_update_needs_less_room(self, setup_venv: SimpleNamespace) -> None:
        setup_venv.check_space(2.0, [], has_torch=True)
        with pytest.raises(setup_venv.SetupError, match=r"needs 1\.5 GB") as caught:
            setup_venv.check_space(1.0, [], has_torch=True)
        assert "CPU-only" not in str(caught.value)  # no remedy: torch is there already

    def test_ready_only_after_the_end_and_for_these_files(
        self, setup_venv: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stamp = tmp_path / "ready"
        names = setup_venv.is_ready.__globals__
        monkeypatch.setitem(names, "STAMP", stamp)
        monkeypatch.setitem(names, "VENV", tmp_path)
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "python").touch()
        assert not setup_venv.is_ready("now")
        stamp.write_text("before")
        assert not setup_venv.is_ready("now")
        stamp.write_text("now")
        assert setup_venv.is_ready("now")


class TestUpdate:
    """What the set-up finds in an environment, and keeps in it, when the requirements change."""

    @pytest.fixture
    def names(self, setup_venv: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
        """The script's globals, with the environment in a temporary folder."""
        names = setup_venv.main.__globals__
        for name, path in {"VENV": ".", "STAMP": "ready", "KEPT_ARGS": "pip_args"}.items():
            monkeypatch.setitem(names, name, tmp_path / path)
        return names

    @pytest.fixture
    def asked(self, names: dict, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
        """What pip would have been given in each set-up of a usable environment."""
        asked: list[list[str]] = []
        for name, replacement in {
            "check_path": lambda path: None,
            "is_usable": lambda: True,
            "check_space": lambda *arguments: None,
            "install": asked.append,
        }.items():
            monkeypatch.setitem(names, name, replacement)
        return asked

    def set_up(self, names: dict, monkeypatch: pytest.MonkeyPatch, requirements: str, pip_args: str) -> None:
        monkeypatch.setitem(names, "fingerprint", lambda: requirements)
        monkeypatch.setenv("PIP_ARGS", pip_args)
        assert names["main"]() == 0

    def test_pip_args_are_kept(
        self, names: dict, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.set_up(names, monkeypatch, "first", "--find-links 'a b/cpu'")
        self.set_up(names, monkeypatch, "second", "")
        self.set_up(names, monkeypatch, "third", "--pre")
        self.set_up(names, monkeypatch, "fourth", "")
        assert asked == [["--find-links", "a b/cpu"]] * 2 + [["--pre"]] * 2
        assert names["KEPT_ARGS"].stat().st_mode & 0o077 == 0

    def test_pip_args_outlive_an_interruption(
        self, names: dict, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(pip_args: list[str]) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setitem(names, "install", interrupted)
            patch.setenv("PIP_ARGS", "--pre")
            assert names["main"]() == 130
        assert not names["STAMP"].exists()
        self.set_up(names, monkeypatch, "the same", "")
        assert asked == [["--pre"]]

    @pytest.mark.parametrize(
        ("installed", "found"), [("{}", True), ("{}+cpu", True), ("{}1", False), ("1.0", False)]
    )
    def test_pinned_torch_is_recognised(
        self, names: dict, tmp_path: Path, installed: str, found: bool
    ) -> None:
        pinned = re.search(r"^torch==(\S+)", (ROOT / "requirements/torch.txt").read_text(), re.M)
        assert pinned
        assert not names["has_pinned_torch"]()
        name = f"torch-{installed.format(pinned[1])}.dist-info"
        folder = tmp_path / "lib/python3.12/site-packages" / name
        folder.mkdir(parents=True)
        assert not names["has_pinned_torch"]()  # as an interrupted pip leaves it
        (folder / "INSTALLER").touch()
        assert names["has_pinned_torch"]() == found

    def test_an_environment_is_found_in_a_path_with_blanks(
        self, names: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "two  blanks"
        monkeypatch.setitem(names, "VENV", folder)
        assert not names["is_usable"]()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        assert not names["is_usable"]()
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "pip.py").touch()
        assert names["is_usable"]()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
class TestPathWithBlank:
    """Programs that colcon installs do not start from such a path; make says so before it downloads."""

    @pytest.fixture
    def checkout(self, tmp_path: Path) -> Path:
        folder = tmp_path / "two words"
        shutil.copytree(ROOT / "requirements", folder / "requirements")
        (folder / "scripts").mkdir()
        for name in ("Makefile", "setup.py", "setup.cfg", "scripts/setup_venv.py"):
            shutil.copy(ROOT / name, folder / name)
        return folder

    def make(self, checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        # A make that runs these tests hands its own variables and options down.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        command = ["make", *arguments, f"PYTHON={sys.executable}"]
        return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)

    def test_setup_refuses_it(self, checkout: Path) -> None:
        done = self.make(checkout, "setup")
        assert done.returncode != 0
        assert f"'{checkout}' contains a blank" in done.stderr and "Move the checkout" in done.stderr
        assert not (checkout / ".venv").exists()

    @pytest.mark.parametrize("target", ["demo", "test", "lint", "types", "colcon", "format"])
    def test_commands_quote_it(self, checkout: Path, target: str) -> None:
        done = self.make(checkout, "--dry-run", target)
        python = f"{checkout}/.venv/bin/python"
        commands = [line for line in done.stdout.splitlines() if python in line]
        assert commands
        assert all(line.startswith(f'"{python}" -m ') for line in commands)
