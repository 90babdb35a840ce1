"""Measure how many camera frames get lost between processes: `python scripts/measure_dds.py --help`.

Each camera is a process of its own that publishes bgr8 images; one more process receives them with the QoS
of the segmentation node (best effort, depth 1). Run it with `--profile config/fastdds.xml` and without.
"""

import argparse
import array
import json
import os
import subprocess
import sys
import time
from pathlib import Path

PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
WARM_UP_S = 2.0  # frames of the first seconds do not count
COUNTED = "counted"  # frame_id of the others


def parse_arguments():
    """Arguments of the command line, and of the processes that it starts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", default="960x720", help="width and height of the images")
    parser.add_argument("--rate", type=float, default=30.0, help="frames a second of each camera")
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--profile", type=Path, help="XML profile for Fast DDS; its defaults if not given")
    parser.add_argument("--role", choices=["camera", "receiver"], help=argparse.SUPPRESS)
    parser.add_argument("--index", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def run_camera(arguments):
    """Publish from when the receiver is there until the time is over; the stamp is of the monotonic clock."""
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node(f"camera_{arguments.index}")
    publisher = node.create_publisher(Image, f"camera_{arguments.index}/image", qos_profile_sensor_data)
    width, height = (int(side) for side in arguments.size.split("x"))
    message = Image(width=width, height=height, step=3 * width, encoding="bgr8")
    message.data = array.array("B", bytes(3 * width * height))

    while not publisher.get_subscription_count():
        time.sleep(0.05)
    started = time.monotonic()
    warm_up = int(WARM_UP_S * arguments.rate)
    counted = int(arguments.seconds * arguments.rate)
    for number in range(warm_up + counted):
        time.sleep(max(0.0, started + number / arguments.rate - time.monotonic()))
        message.header.frame_id = COUNTED if number >= warm_up else ""
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(time.monotonic_ns(), 1_000_000_000)
        publisher.publish(message)
    time.sleep(1.0)  # what is still on its way arrives before the writer goes
    print(json.dumps(counted))
    node.destroy_node()
    rclpy.shutdown()


def run_receiver(arguments):
    """Note the age of each frame on arrival, until all cameras have come and gone."""
    import rclpy
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    ages = []

    def on_image(message):
        if message.header.frame_id == COUNTED:
            now = time.monotonic_ns()
            ages.append((now - message.header.stamp.sec * 1_000_000_000 - message.header.stamp.nanosec) / 1e6)

    rclpy.init()
    node = rclpy.create_node("receiver")
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    topics = [f"camera_{index}/image" for index in range(arguments.cameras)]
    for topic in topics:
        node.create_subscription(Image, topic, on_image, qos)
    seen = set()
    while len(seen) < len(topics) or any(node.count_publishers(topic) for topic in topics):
        rclpy.spin_once(node, timeout_sec=0.1)
        seen.update(topic for topic in topics if node.count_publishers(topic))
    print(json.dumps(sorted(ages)))
    node.destroy_node()
    rclpy.shutdown()


def main():
    """Start cameras and receiver, then print one line of results."""
    arguments = parse_arguments()
    if arguments.role:
        return {"camera": run_camera, "receiver": run_receiver}[arguments.role](arguments)

    environment = {name: value for name, value in os.environ.items() if name not in PROFILE_VARIABLES}
    if arguments.profile:
        environment.update(dict.fromkeys(PROFILE_VARIABLES, str(arguments.profile.resolve(strict=True))))

    def start(role, index=0):
        command = [sys.executable, *sys.argv, "--role", role, "--index", str(index)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    receiver = start("receiver")
    time.sleep(1.0)
    cameras = [start("camera", index) for index in range(arguments.cameras)]
    sent = sum(json.loads(camera.communicate()[0]) for camera in cameras)
    ages = json.loads(receiver.communicate()[0])
    quantiles = [ages[int(q * (len(ages) - 1))] if ages else float("nan") for q in (0.5, 0.95, 0.99)]
    print(
        f"{arguments.size} at {arguments.rate:g} Hz, {arguments.cameras} camera(s), "
        f"{'profile ' + arguments.profile.name if arguments.profile else 'defaults'}: "
        f"{sent} sent, {len(ages)} received, {100 * (1 - len(ages) / sent):.1f} % lost, "
        "age p50/p95/p99 {:.1f}/{:.1f}/{:.1f} ms".format(*quantiles)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
