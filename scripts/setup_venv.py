"""Make the virtual environment .venv, or find that it is ready: `python3 scripts/setup_venv.py`.

Run by the Makefile before everything else, with whatever Python the machine has; it therefore uses the
standard library alone. Settings come from the environment: PIP_ARGS (further arguments for pip), MIN_FREE_GB.
"""

import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "ready"  # written last: what an interrupted set-up leaves behind has none
SUPPORTED = ((3, 11), (3, 12))
GIGABYTE = 1e9
# Download and unpacked files: 2.9 + 6 GB (an estimate) with CUDA, 0.4 + 1.5 GB without, and some room.
SPACE_CUDA_GB, SPACE_CPU_GB = 12.0, 3.0


class SetupError(Exception):
    """A prerequisite is missing; the message names it and its remedy."""


def check_python(version, has_module):
    """Raise SetupError unless this Python can make the environment.

    Args:
        version: (major, minor) of the running interpreter.
        has_module: Function that tells whether a module of this name can be imported.
    """
    name = "{}.{}".format(*version)
    if version not in SUPPORTED:
        raise SetupError(
            f"Python {name} ({sys.executable}) is not supported: 3.11 and 3.12 are.\n"
            "Install one of them (Debian 12: apt install python3 python3-venv; Ubuntu 24.04 the same)\n"
            "and name it if it is not the machine's python3: make PYTHON=python3.12 ..."
        )
    if not (has_module("venv") and has_module("ensurepip")):
        raise SetupError(
            f"Python {name} ({sys.executable}) has no venv module (Debian and Ubuntu package it apart).\n"
            f"Install it: sudo apt install python{name}-venv"
        )


def check_space(free_gb, pip_args, minimum_gb=None):
    """Raise SetupError if the disk is too full for what pip is about to bring.

    Args:
        free_gb: Free space where the environment goes, in GB.
        pip_args: Further arguments for pip; an index of CPU builds among them lowers the need.
        minimum_gb: What to ask for instead of our own estimate, in GB.
    """
    cpu_only = any("cpu" in argument for argument in pip_args)
    needed = minimum_gb if minimum_gb is not None else SPACE_CPU_GB if cpu_only else SPACE_CUDA_GB
    if free_gb < needed:
        raise SetupError(
            f"{free_gb:.1f} GB are free in {ROOT}, the set-up needs {needed:g} GB.\n"
            f"Free some, or take the CPU-only torch ({SPACE_CPU_GB:g} GB): docs/install.md says how.\n"
            "If you know better: make MIN_FREE_GB=0 ..."
        )


def fingerprint():
    """Hash of what the environment is made from; its path counts, as the scripts inside hold it."""
    digest = hashlib.sha256(str(VENV).encode())
    for path in [*sorted((ROOT / "requirements").glob("*.txt")), ROOT / "setup.py", ROOT / "setup.cfg"]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def is_ready(wanted):
    """Whether the environment was set up to its end from the files of this fingerprint."""
    return STAMP.is_file() and STAMP.read_text() == wanted and (VENV / "bin" / "python").exists()


def is_usable():
    """Whether there is an environment to go on with: of an interrupted set-up, or for older requirements.

    Its Python may be another than the one that runs this.
    """
    probe = "import pip, sys; print(sys.prefix, *sys.version_info[:2])"
    try:
        found = subprocess.run([str(VENV / "bin" / "python"), "-c", probe], capture_output=True, text=True)
    except OSError:
        return False
    return found.stdout.split() in [[str(VENV), str(major), str(minor)] for major, minor in SUPPORTED]


def create_venv():
    """Make an empty environment in the place of whatever is there."""
    print(f"making {VENV} with Python {sys.version.split()[0]}", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)


def install(pip_args):
    """Install the pinned requirements, then this package as a link to the checkout."""
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
    steps = [
        ("build tools", ["-r", "requirements/build.txt"]),
        ("torch and the libraries of the core", ["-r", "requirements/core.txt"]),
        ("ROS 2 wheels", ["--no-build-isolation", "--require-hashes", "-r", "requirements/ros.txt"]),
        ("development tools", ["--no-build-isolation", "-r", "requirements/dev.txt"]),
        ("this package", ["--quiet", "--no-build-isolation", "--no-deps", "-e", "."]),
    ]
    for number, (what, arguments) in enumerate(steps, 1):
        print(f"[{number}/{len(steps)}] {what}", flush=True)
        # With --require-hashes, pip refuses what a foreign index may bring: no harm in passing the arguments.
        command = [*pip, *pip_args, *arguments]
        if subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode:
            raise SetupError(
                f"pip could not install {what} (its message is above).\n"
                "Run the same make command again to go on from here."
            )


def main():
    """Bring .venv up to date; returns the exit code."""
    try:
        wanted = fingerprint()
        if is_ready(wanted):
            return 0
        usable = is_usable()
        if not usable:
            check_python(sys.version_info[:2], lambda name: importlib.util.find_spec(name) is not None)
        pip_args = shlex.split(os.environ.get("PIP_ARGS", ""))
        minimum = os.environ.get("MIN_FREE_GB")
        check_space(shutil.disk_usage(ROOT).free / GIGABYTE, pip_args, float(minimum) if minimum else None)
        if not usable:
            create_venv()
        STAMP.unlink(missing_ok=True)
        install(pip_args)
        STAMP.write_text(wanted)
    except SetupError as error:
        print(f"\nset-up: {error}", file=sys.stderr)
        return 1
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"\nset-up: cannot make {VENV}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nset-up interrupted: run the same make command again to go on from here", file=sys.stderr)
        return 130
    print(f"{VENV} is ready", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
