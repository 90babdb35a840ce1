"""SERNet-Former: network, training, evaluation and inference, without any ROS dependency."""
