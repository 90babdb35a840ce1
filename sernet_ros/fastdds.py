"""The Fast DDS profile for large images: with the defaults of Fast DDS most of them are lost."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from sernet_ros.package_files import config_file

# Both are read, by older and newer releases of Fast DDS.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


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
    for variable in PROFILE_VARIABLES:
        environment[variable] = str(path)
    return f"Fast DDS profile for large images: {path}"
