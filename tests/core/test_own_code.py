"""What was built or judged by other code of ours does not serve."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fake_engines import Quick, contend_with
from torch import nn

import sernet_core
from sernet_core.checkpoint import load_checkpoint
from sernet_core.engines import base
from sernet_core.engines.base import Source, missing_packages
from sernet_core.engines.cache import EngineCache
from sernet_core.engines.choose import build
from sernet_core.engines.own_code import PARTS, code_hash
from sernet_core.engines.plan import Plan
from sernet_core.labels import CAMVID
from sernet_core.peers.registry import PEERS, peer_source

# Tracing and converting take long on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(600)

PACKAGE = Path(sernet_core.__file__).parent


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package's sources."""
    return shutil.copytree(PACKAGE, tmp_path / "copy", ignore=lambda *_: ["weights", "__pycache__"])


@pytest.mark.parametrize(
    "part",
    [
        "blocks.py",
        "decoder.py",
        "encoder.py",
        "engines/graph.py",
        "engines/folding.py",
        "engines/upsample.py",
    ],
)
def test_the_digest_is_of_the_code_that_decides(copy: Path, part: str) -> None:
    code_hash.cache_clear()
    before = code_hash(copy)
    assert before == code_hash()  # wherever the package lies
    with (copy / part).open("a") as file:
        file.write("# other\n")
    assert code_hash(copy) == before  # read once
    code_hash.cache_clear()
    assert code_hash(copy) != before


def test_the_digest_is_of_no_other_code(copy: Path) -> None:
    code_hash.cache_clear()
    before = code_hash(copy)
    (copy / "cli.py").write_text("# other\n")
    code_hash.cache_clear()
    assert code_hash(copy) == before


def test_no_part_of_a_network_is_left_out(small_model: Path, tmp_path: Path) -> None:
    covered = {path.relative_to(PACKAGE) for part in PARTS for path in PACKAGE.glob(part)}
    assert all(any(PACKAGE.glob(part)) for part in PARTS)
    networks: list[nn.Module] = [load_checkpoint(small_model).network]
    peers = [name for name, peer in PEERS.items() if not peer.obstacle()]
    networks += [peer_source(name, CAMVID, EngineCache(tmp_path)).model for name in peers]
    modules = {type(module).__module__ for network in networks for module in network.modules()}
    ours = {name for name in modules if name.startswith("sernet_core.")}
    assert len(ours) >= 6
    for name in ours:
        assert Path(*name.split(".")[1:]).with_suffix(".py") in covered, name


@pytest.mark.parametrize("name", ["openvino", "auto"])
def test_other_code_builds_and_judges_anew(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name == "auto":
        contend_with(monkeypatch, Quick)
    elif fault := missing_packages((name,)):
        pytest.skip(fault)
    source = Source.load(small_model, EngineCache(tmp_path), threads=1)
    for code in ("one", "one", "other"):
        monkeypatch.setattr(base, "code_hash", lambda code=code: code)
        build(name, source, Plan((64, 96), (64, 96), 16))
    entries = [json.loads(path.read_text()) for path in tmp_path.glob(f"{name}-*/entry.json")]
    assert sorted(entry["key"]["code"] for entry in entries) == ["one", "other"]
