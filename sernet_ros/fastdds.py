"""The Fast DDS profile for large images: with the defaults of Fast DDS most of them are lost."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from importlib import metadata

from sernet_ros.package_files import config_file

# Read by Fast DDS 2 and by Fast DDS 3, which warns of the first.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
_WITH_FAST_DDS_2 = ("humble", "iron", "jazzy")
_FIRST_RMW_WITH_FAST_DDS_3 = 9  # major version of rmw_fastrtps_cpp; Jazzy has 8


def use_profile(environment: MutableMapping[str, str] = os.environ) -> str:
    """Point Fast DDS to the profile of this package, unless the user chose one or runs another middleware.

    Call before `rclpy.init`: Fast DDS reads the variables when the first node comes up.

    Returns:
        One sentence for the log that says what is used.
    """
    rmw = environment.get("RMW_IMPLEMENTATION", "")
    if rmw and "fastrtps" not in rmw:
        return f"{rmw} is in use: the Fast DDS profile for large images does not apply"
    for variable in PROFILE_VARIABLES:
        if environment.get(variable):
            return f"Fast DDS profile of the environment: {environment[variable]}"
    path = config_file("fastdds.xml")
    if path is None:
        return "no Fast DDS profile found (config/fastdds.xml): large images may get lost"
    for variable in PROFILE_VARIABLES[1:] if _has_fast_dds_3(environment) else PROFILE_VARIABLES:
        environment[variable] = str(path)
    return f"Fast DDS profile for large images: {path}"


def _has_fast_dds_3(environment: Mapping[str, str]) -> bool:
    """Whether Fast DDS is known to be of version 3 or later: by the ROS distribution, or the Python wheel."""
    if distribution := environment.get("ROS_DISTRO"):
        return distribution not in _WITH_FAST_DDS_2
    try:
        version = metadata.version("ros-rmw-fastrtps-cpp")
    except metadata.PackageNotFoundError:
        return False
    return int(version.partition(".")[0]) >= _FIRST_RMW_WITH_FAST_DDS_3
