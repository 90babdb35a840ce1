"""Recordings (rosbag2): read as a source of frames, and written. Needs the package `rosbags`, but no ROS."""
