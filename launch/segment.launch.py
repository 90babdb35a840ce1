"""Start the segmentation node: `ros2 launch sernet_ros segment.launch.py image:=/camera/image_raw`.

`--show-args` explains the arguments. What an argument leaves empty is decided by the parameters file.
The node itself sees to the Fast DDS profile and, with `autostart`, to its life cycle.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

TOPIC = "A name without a leading / is under the namespace."
AS_IN_FILE = "Empty: as the parameters file says."

ARGUMENTS = [
    DeclareLaunchArgument(
        "image",
        default_value="camera/image_raw",
        description=f"Camera topic to segment (sensor_msgs/Image). {TOPIC}",
    ),
    DeclareLaunchArgument(
        "mask",
        default_value="semantic_mask",
        description=f"Topic for the class mask (mono8, one class id per pixel). {TOPIC}",
    ),
    DeclareLaunchArgument(
        "overlay",
        default_value="semantic_overlay",
        description=f"Topic for the image blended with the class colours (rgb8). {TOPIC}",
    ),
    DeclareLaunchArgument(
        "model",
        default_value="",
        description=f"Weights: a path or the name of a model, e.g. sernet-r50-camvid. {AS_IN_FILE}",
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        description=f"Where the network runs: auto, cpu, cuda:0, ... {AS_IN_FILE}",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=PathJoinSubstitution([FindPackageShare("sernet_ros"), "config", "segment.yaml"]),
        description="YAML file with the parameters of the node.",
    ),
    DeclareLaunchArgument(
        "namespace",
        default_value="",
        description="Namespace of the node and of its topics, e.g. front.",
    ),
    DeclareLaunchArgument(
        "name",
        default_value="sernet_segmenter",
        description="Name of the node.",
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="",
        choices=["", "true", "false"],
        description=f"Whether the node loads its model and starts by itself. {AS_IN_FILE}",
    ),
]


def segment_node(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The node, with the parameters file and, over it, the arguments that are not empty.

    Raises:
        RuntimeError: `params_file` is no file; launch itself would only warn and go on without it.
    """

    def value(argument: str) -> str:
        return LaunchConfiguration(argument).perform(context)

    params_file = Path(value("params_file")).expanduser()
    if not params_file.is_file():
        raise RuntimeError(f"params_file:={params_file} is not a file")

    overrides: dict[str, str | bool] = {name: value(name) for name in ("model", "device") if value(name)}
    if value("autostart"):
        overrides["autostart"] = value("autostart") == "true"

    return [
        Node(
            package="sernet_ros",
            executable="segment",
            name=value("name"),
            # Given even where it is empty: launch then writes the overrides under the node's full name, and
            # they win over the file's entries whatever name those stand under.
            namespace=value("namespace"),
            parameters=[str(params_file), overrides] if overrides else [str(params_file)],
            remappings=[
                ("image", value("image")),
                ("semantic_mask", value("mask")),
                ("semantic_overlay", value("overlay")),
            ],
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Called by launch."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=segment_node)])
