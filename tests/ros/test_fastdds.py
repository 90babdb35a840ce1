"""Which Fast DDS profile is used, and by which variable; needs no ROS."""

from __future__ import annotations

from pathlib import Path

import pytest

from sernet_ros import fastdds
from sernet_ros.fastdds import PROFILE_VARIABLES, use_profile


def test_profile_is_used_unless_the_user_chose() -> None:
    environment: dict[str, str] = {}
    assert "profile for large images" in use_profile(environment)
    assert Path(environment[PROFILE_VARIABLES[1]]).name == "fastdds.xml"
    own = {PROFILE_VARIABLES[1]: "/own.xml"}
    assert "/own.xml" in use_profile(own) and own == {PROFILE_VARIABLES[1]: "/own.xml"}
    other = {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}
    assert "does not apply" in use_profile(other) and len(other) == 1


@pytest.mark.parametrize(
    ("distribution", "wheel", "old_name"),
    [
        *[("humble", "9.0.0", True), ("jazzy", "9.0.0", True), ("kilted", "8.4.3", False)],
        *[("rolling", None, False), ("", "8.4.3", True), ("", "9.3.2", False), ("", None, True)],
    ],
)
def test_the_old_variable_is_set_where_fast_dds_may_need_it(
    monkeypatch: pytest.MonkeyPatch, distribution: str, wheel: str | None, old_name: bool
) -> None:
    def version(name: str) -> str:
        if wheel is None:
            raise fastdds.metadata.PackageNotFoundError(name)
        return wheel

    monkeypatch.setattr(fastdds.metadata, "version", version)
    environment = {"ROS_DISTRO": distribution}
    use_profile(environment)
    assert (PROFILE_VARIABLES[0] in environment, PROFILE_VARIABLES[1] in environment) == (old_name, True)
