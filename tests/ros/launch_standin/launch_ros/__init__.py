"""Stand-in for `launch_ros`; see the stand-in for `launch`."""
