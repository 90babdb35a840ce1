"""Installs both Python packages, the ROS executables and the shared files.

The dependencies are in package.xml (what rosdep knows) and requirements/ (the rest, pinned), not here.
"""

from glob import glob

from setuptools import find_packages, setup

NAME = "sernet_ros"

setup(
    name=NAME,
    version="0.1.0",
    description="Semantic segmentation of camera images with SERNet-Former for ROS 2",
    license="Apache-2.0",
    maintainer="SERNet ROS maintainers",
    maintainer_email="sernet-ros@example.org",
    python_requires=">=3.11",
    packages=find_packages(include=["sernet_core*", "sernet_ros*"]),
    package_data={"sernet_core": ["weights/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.launch.py")),
        (f"share/{NAME}/config", glob("config/*")),
    ],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "segment = sernet_ros.node:main",
            "replay = sernet_ros.replay:main",
            "demo = sernet_ros.demo:main",
            "make_bag = sernet_ros.make_bag:main",
            "evaluate_bag = sernet_ros.evaluate_bag:main",
            "compare = sernet_ros.compare:main",
            "benchmark = sernet_ros.benchmark:main",
            "view = sernet_ros.view:main",
            "sernet = sernet_core.cli:main",
        ],
    },
)
