"""A second implementation of the residual trunk, to test the encoder against.

Written as plain functions over a state dict from He et al., arXiv 1512.03385, table 1 and figure 5, with
nothing shared with sernet_core. Stride 32 only.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

BLOCKS = {18: (2, 2, 2, 2), 29: (2, 2, 3, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def reference_features(
    state: Mapping[str, Tensor], image: Tensor, depth: int, gain: float = 0.0
) -> list[Tensor]:
    """Outputs of the stem and of the four stages.

    Args:
        state: Weights under the names of the common ImageNet checkpoints.
        image: Float (N, 3, H, W).
        depth: 18, 29, 34, 50 or 101.
        gain: Adds `gain * sigmoid(z) * z` to the stem and to the last block of each stage, z being what the
            last batch norm there gives.
    """

    def norm(x: Tensor, key: str) -> Tensor:
        mean, variance = state[f"{key}.running_mean"], state[f"{key}.running_var"]
        return F.batch_norm(x, mean, variance, state[f"{key}.weight"], state[f"{key}.bias"], eps=1e-5)

    def block(x: Tensor, key: str, stride: int, boost: float) -> Tensor:
        # (stride, padding) of each convolution; a bottleneck strides in its first 1x1.
        plan = [(stride, 1), (1, 1)] if depth in (18, 34) else [(stride, 0), (1, 1), (1, 0)]
        z = x
        for number, (step, padding) in enumerate(plan, start=1):
            z = F.conv2d(z, state[f"{key}.conv{number}.weight"], stride=step, padding=padding)
            z = norm(z, f"{key}.bn{number}")
            if number < len(plan):
                z = F.relu(z)
        if f"{key}.downsample.0.weight" in state:
            x = norm(F.conv2d(x, state[f"{key}.downsample.0.weight"], stride=stride), f"{key}.downsample.1")
        return F.relu(z + x) + boost * z.sigmoid() * z

    z = norm(F.conv2d(image, state["conv1.weight"], stride=2, padding=3), "bn1")
    features = [F.relu(z) + gain * z.sigmoid() * z]
    x = F.max_pool2d(features[0], 3, 2, padding=1)
    for stage, count in enumerate(BLOCKS[depth], start=1):
        for index in range(count):
            stride = 2 if stage > 1 and index == 0 else 1
            x = block(x, f"layer{stage}.{index}", stride, gain if index == count - 1 else 0.0)
        features.append(x)
    return features
