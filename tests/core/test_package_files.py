"""Files that the packages bring along, found without ROS from any folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sernet_core import package_files
from sernet_core.cli import main
from sernet_core.package_files import config_file

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize("packages", ["lib/python3.12/site-packages", "local/lib/python3.12/dist-packages"])
def test_the_recipe_of_the_ablation_is_found_from_anywhere(
    packages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_file("ablation.yaml") == CONFIG / "ablation.yaml"
    assert main(["ablate", "--list"]) == 0, "beside the source tree"
    monkeypatch.setattr(package_files, "_PACKAGE", tmp_path / packages / "sernet_core")
    assert main(["ablate", "--list"]) == 2
    assert "lacks its config/ablation.yaml; name a recipe" in capsys.readouterr().err
    share = tmp_path / "share/sernet_ros/config"
    share.mkdir(parents=True)
    shutil.copy(CONFIG / "ablation.yaml", share)
    assert main(["ablate", "--list"]) == 0, "installed"
