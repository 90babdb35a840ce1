"""The ROS 2 side: the segmentation node, the replayer and the demo."""
