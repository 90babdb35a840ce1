"""What the tests of the installed package share: a small model, and a user who asks a node for a mask."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import rclpy
from live import PATIENCE, fresh_domain, image_message, picture
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image

from sernet_core.checkpoint import CheckpointInfo, save_checkpoint
from sernet_core.labels import CAMVID
from sernet_core.network import NetworkConfig, build_network


def save_small_model(path: Path) -> Path:
    """A depth-18 checkpoint with random weights, for 96x64 images."""
    config = NetworkConfig(depth=18)
    save_checkpoint(path, build_network(config), CheckpointInfo(config, CAMVID, (96, 64), notice="for tests"))
    return path


def ask(image_topic: str, mask_topic: str, node_lives: Callable[[], str | None]) -> tuple[Image, Image]:
    """Show a frame to a node in another process until it answers.

    Args:
        image_topic: Absolute name of the topic that the node listens to.
        mask_topic: Absolute name of the topic that it answers on.
        node_lives: None while the node's process runs, else why it ended.

    Returns:
        The image and its mask.
    """
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=fresh_domain())
    user = rclpy.create_node("user", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(user)
    masks: list[Image] = []
    user.create_subscription(Image, mask_topic, masks.append, 10)
    camera = user.create_publisher(Image, image_topic, 10)
    image = image_message(picture())
    image.header.frame_id = "front_camera"
    image.header.stamp.sec, image.header.stamp.nanosec = 12, 345_678_901
    # The first start of torch alone takes seconds on a busy machine.
    deadline = time.monotonic() + 4 * PATIENCE
    try:
        while not masks:
            assert (end := node_lives()) is None, end
            assert time.monotonic() < deadline, f"no mask on {mask_topic} for images on {image_topic}"
            camera.publish(image)
            executor.spin_once(timeout_sec=0.2)
    finally:
        user.destroy_node()
        executor.shutdown()
        rclpy.shutdown(context=context)
    return image, masks[0]
