"""Make the virtual environment .venv, or find that it is ready: `python3 scripts/setup_venv.py`.

Run by the Makefile before everything else, with whatever Python the machine has; it therefore uses the
standard library alone. Settings come from the environment: PIP_ARGS (further arguments for pip, kept for the
next time), MIN_FREE_GB.
"""

import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "ready"  # written last: what an interrupted set-up leaves behind has none
KEPT_ARGS = VENV / "pip_args"  # without them an update would bring the CUDA build into a CPU-only environment
SUPPORTED = ((3, 11), (3, 12))
GIGABYTE = 1e9
# Download and unpacked files: 2.9 + 6 GB (an estimate) with CUDA, 0.4 + 1.5 GB without, and some room.
SPACE_CUDA_GB, SPACE_CPU_GB = 12.0, 3.0
SPACE_UPDATE_GB = 1.5  # everything but torch and CUDA: 0.2 + 0.7 GB


class SetupError(Exception):
    """A prerequisite is missing; the message names it and its remedy."""


def check_path(path):
    """Raise SetupError if programs cannot be started from this path.

    A script names its Python after #!, where the kernel ends the name at a blank, quoted or not.
    """
    if any(character.isspace() for character in str(path)):
        raise SetupError(
            f"The path '{path}' contains a blank: the executables and the setup.sh that colcon makes fail\n"
            "in such a place. Move the checkout to a path without blanks."
        )


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


def check_space(free_gb, pip_args, has_torch=False, minimum_gb=None):
    """Raise SetupError if the disk is too full for what pip is about to bring.

    Args:
        free_gb: Free space where the environment goes, in GB.
        pip_args: Further arguments for pip; an index of CPU builds among them lowers the need.
        has_torch: Whether the pinned torch is there already, and with it all that is large.
        minimum_gb: What to ask for instead of our own estimate, in GB.
    """
    cpu_only = any("cpu" in argument for argument in pip_args)
    estimate = SPACE_UPDATE_GB if has_torch else SPACE_CPU_GB if cpu_only else SPACE_CUDA_GB
    needed = estimate if minimum_gb is None else minimum_gb
    if free_gb < needed:
        smaller = f", or take the CPU-only torch ({SPACE_CPU_GB:g} GB): docs/install.md says how"
        raise SetupError(
            f"{free_gb:.1f} GB are free in {ROOT}, the set-up needs {needed:g} GB.\n"
            f"Free some{smaller if estimate == SPACE_CUDA_GB else ''}.\n"
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
    probe = "import json, pip, sys; print(json.dumps([sys.prefix, *sys.version_info[:2]]))"
    try:
        found = subprocess.run([str(VENV / "bin" / "python"), "-c", probe], capture_output=True, text=True)
    except OSError:
        return False
    return found.stdout.strip() in [json.dumps([str(VENV), *version]) for version in SUPPORTED]


def has_pinned_torch():
    """Whether the environment holds the torch of the requirements, of whatever build."""
    pins = (ROOT / "requirements" / "torch.txt").read_text().splitlines()
    (version,) = [pin.partition("==")[2] for pin in pins if pin.startswith("torch==")]
    installed = (VENV / "lib").glob("python*/site-packages/torch-*.dist-info/INSTALLER")  # pip writes it last
    names = [path.parent.name[len("torch-") : -len(".dist-info")] for path in installed]
    return any(name.partition("+")[0] == version for name in names)


def choose_pip_args(given):
    """The arguments for pip: those given, or else those that the environment was made with.

    Args:
        given: Value of PIP_ARGS, quoted as for a shell; None or empty if not given.
    """
    return given or (KEPT_ARGS.read_text() if KEPT_ARGS.is_file() else "")


def keep_pip_args(arguments):
    """Keep the arguments for the next set-up, readable by this user alone: an index may need a password."""
    KEPT_ARGS.touch(mode=0o600)
    KEPT_ARGS.write_text(arguments)


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
        check_path(ROOT)
        wanted = fingerprint()
        if is_ready(wanted):
            return 0
        usable = is_usable()
        if not usable:
            check_python(sys.version_info[:2], lambda name: importlib.util.find_spec(name) is not None)
        arguments = choose_pip_args(os.environ.get("PIP_ARGS"))
        pip_args = shlex.split(arguments)
        minimum = os.environ.get("MIN_FREE_GB")
        free_gb = shutil.disk_usage(ROOT).free / GIGABYTE
        check_space(free_gb, pip_args, usable and has_pinned_torch(), float(minimum) if minimum else None)
        if not usable:
            create_venv()
        STAMP.unlink(missing_ok=True)
        keep_pip_args(arguments)  # before pip runs: what continues an interrupted set-up needs them too
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
