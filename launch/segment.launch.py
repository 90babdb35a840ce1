"""Start the segmentation node: `ros2 launch sernet_ros segment.launch.py image:=/camera/image_raw`.

`--show-args` explains the arguments. What an argument leaves empty is decided by the parameters file.
The node itself sees to the Fast DDS profile and, with `autostart`, to its life cycle.
"""

import re
from pathlib import Path, PurePosixPath
from typing import List  # noqa: UP035 (the form that launch_ros knows)

import yaml
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

PLACE = "Without a leading / it is under the namespace, and with several cameras under each one's prefix."
# True is how Python writes it, and with it most launch files.
BOOLEAN = ["true", "false", "True", "False"]
AS_IN_FILE = "Empty: as the parameters file says."

# Argument, the node's own topic name, and what it is.
TOPICS = [
    ("mask", "semantic_mask", "Topic for the class mask (mono8, one class id per pixel)."),
    ("overlay", "semantic_overlay", "Topic for the image blended with the class colours (rgb8)."),
    ("color_mask", "color_mask", "Topic for the mask in the class colours (rgb8), if it is published."),
    ("confidence", "confidence", "Topic for the confidence (mono8), if it is published."),
    (
        "label_info",
        "label_info",
        "Topic for ids and names of the classes (vision_msgs/LabelInfo; without it JSON, on the topic of "
        "this name with _json).",
    ),
]

# The parameters of the node: each is an argument, too.
PARAMETERS = [
    ("model", str, "Weights: a path, the name of a model, e.g. sernet-r50-camvid, or auto."),
    ("device", str, "Where the network runs: auto, cpu, cuda:0, ..."),
    ("engine", str, "What runs the network: auto, or a name that `sernet engines` lists."),
    ("precision", str, "Arithmetic of the network: auto, fp32, bf16, fp16, int8."),
    ("threads", int, "CPU threads of the network; 0: the engine's choice."),
    ("input_size", str, "Size at which the network sees the image: model, source or WxH."),
    ("engine_cache_dir", str, "Folder for built engines."),
    ("force_engine_update", bool, "Whether engines are built anew."),
    ("cameras", List[str], "Prefixes of several cameras' topics, e.g. [front, left]."),  # noqa: UP006
    ("image_transport", str, "raw, or compressed for JPEG or PNG images on IMAGE/compressed."),
    ("input_qos", str, "Reliability of the image subscription: auto, sensor_data or reliable."),
    ("roi", List[int], "Part of the image that is segmented: [x, y, width, height]."),  # noqa: UP006
    ("ignore_mask", str, "Picture that is not black where pixels never get a class."),
    ("output_qos", str, "Reliability of what is published: auto, sensor_data or reliable."),
    ("mask_scale", float, "Size of the mask over that of the image, 0.01 to 1."),
    ("mask_encoding", str, "raw or autoware_rle."),
    ("label_remap", str, "CSV file that turns the classes into other ids, or autoware."),
    ("confidence_threshold", float, "Confidence, 0 to 1, below which a pixel is unlabeled."),
    ("publish_confidence", bool, "Whether the confidence is published."),
    ("publish_color_mask", bool, "Whether the mask in the class colours is published."),
    ("publish_compressed_mask", bool, "Whether the mask is published as PNG on MASK/compressed."),
    ("publish_overlay", bool, "Whether the overlay is published."),
    ("overlay_alpha", float, "Weight of the colours in the overlay, 0 to 1."),
    ("color_palette", List[int], "24-bit colour of each class, e.g. [0x804080, 0x00ff00]."),  # noqa: UP006
    ("max_batch", int, "Most images of different cameras that go through the network at once."),
    ("inference_timeout", float, "Seconds that an inference may take."),
    ("diagnostics_period", float, "Seconds between two messages on /diagnostics."),
    ("enable", bool, "Whether images are segmented from the start."),
    ("autostart", bool, "Whether the node loads its model and starts by itself."),
    ("use_sim_time", bool, "Whether the node's clock is /clock, as with a bag that is played."),
]

ARGUMENTS = [
    DeclareLaunchArgument(
        "image",
        default_value="",
        description="Camera topic to segment (sensor_msgs/Image). Empty: camera/image_raw, or image_raw of "
        f"each of several cameras. {PLACE}",
    ),
    DeclareLaunchArgument(
        "camera_info",
        default_value="",
        description="Calibration of the camera (sensor_msgs/CameraInfo), read for a scaled mask. Empty: "
        f"camera_info beside the image topic. {PLACE}",
    ),
    *(
        DeclareLaunchArgument(name, default_value=topic, description=f"{words} {PLACE}")
        for name, topic, words in TOPICS
    ),
    DeclareLaunchArgument(
        "mask_camera_info",
        default_value="",
        description="Topic for the calibration of a scaled mask; not that of the camera. Empty: "
        f"MASK/camera_info. {PLACE}",
    ),
    *(
        DeclareLaunchArgument(
            name,
            default_value="",
            description=f"{words} {AS_IN_FILE}",
            **({"choices": ["", *BOOLEAN]} if kind is bool else {}),
        )
        for name, kind, words in PARAMETERS
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
]


def segment_node(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The node, with the parameters file and, over it, the arguments that are not empty.

    Raises:
        RuntimeError: `params_file` is no file (launch itself would only warn and go on without it) or no
            YAML, `cameras` is no list of names, or several cameras would share a topic.
    """

    def value(argument: str) -> str:
        return LaunchConfiguration(argument).perform(context)

    params_file = Path(value("params_file")).expanduser()
    if not params_file.is_file():
        raise RuntimeError(f"params_file:={params_file} is not a file")

    # With its type, or launch would take a model named 18 for a number. The substitution, not its text: that
    # alone is what launch converts to the type.
    overrides = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind, _ in PARAMETERS
        if value(name)
    }
    # Under a group's namespace, unless its own is absolute.
    above = context.launch_configurations.get("ros_namespace", "")
    full_name = str(PurePosixPath("/", above, value("namespace"), value("name")))
    given = value("cameras")
    named = cameras_of_argument(given) if given else cameras_of_file(params_file, full_name)
    cameras = [name for name in named if name]  # an empty name stands for a camera without a prefix
    for argument in ("image", "camera_info", "mask_camera_info", *(name for name, *_ in TOPICS)):
        if len(cameras) > 1 and value(argument).startswith("/"):
            raise RuntimeError(
                f"{argument}:={value(argument)} would be one topic of {len(cameras)} cameras: leave the / out"
            )
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
                (prefix + name, target if target.startswith("/") else prefix + target)
                for prefix in ([f"{camera}/" for camera in cameras] or [""])
                for name, target in topics(value, bool(cameras))
            ],
            output="screen",
        )
    ]


def cameras_of_argument(text: str) -> list[str]:
    """The cameras' prefixes.

    Raises:
        RuntimeError: It is no list of names.
    """
    try:
        cameras = yaml.safe_load(text)
    except yaml.YAMLError:
        cameras = None
    if not isinstance(cameras, list) or not all(isinstance(name, str) for name in cameras):
        raise RuntimeError(f"cameras:={text} is not a list of names such as [front, left]")
    return cameras


def cameras_of_file(params_file: Path, full_name: str) -> list[str]:
    """The cameras' prefixes as the node will find them in the file: of the entries for it, the last holds.

    Raises:
        RuntimeError: The file is not YAML.
    """
    cameras: object = None

    def read(name: PurePosixPath, entries: object) -> None:
        nonlocal cameras
        for key, below in entries.items() if isinstance(entries, dict) else ():
            if key != "ros__parameters":
                read(name / str(key), below)  # names may be nested: a namespace, and the node in it
            elif isinstance(below, dict):
                # /* stands for one part of a name, /** for any number of them.
                pattern = re.sub(r"/\*(\*?)", r"(/\\w+)\1", str(name))
                if re.fullmatch(pattern, full_name):
                    cameras = below.get("cameras", cameras)

    try:
        read(PurePosixPath("/"), yaml.safe_load(params_file.read_text()))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RuntimeError(f"params_file:={params_file} is not YAML: {error}") from error
    # Anything but a list of names is refused by the node, which says why.
    return [name for name in cameras if isinstance(name, str)] if isinstance(cameras, list) else []


def topics(value, several: bool) -> list[tuple[str, str]]:
    """The node's own topic names, of one camera, and where the arguments put them."""
    image = value("image") or ("image_raw" if several else "camera/image_raw")
    beside, _, _ = image.rpartition("/")
    camera_info = value("camera_info") or (f"{beside}/camera_info" if "/" in image else "camera_info")
    return [
        ("image", image),
        ("image/camera_info", camera_info),
        *((topic, value(name)) for name, topic, _ in TOPICS),
        # These go with another topic, wherever it goes.
        ("semantic_mask/compressed", value("mask") + "/compressed"),
        ("semantic_mask/camera_info", value("mask_camera_info") or value("mask") + "/camera_info"),
        ("label_info_json", value("label_info") + "_json"),
    ]


def generate_launch_description() -> LaunchDescription:
    """Called by launch."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=segment_node)])
