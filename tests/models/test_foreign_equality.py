"""Our three small nets against the outputs of PCL's own ones, on the same weights and input."""

import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

import kdvideo


def _fill(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weights with which the reference outputs were made."""
    draws = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if key.endswith("running_var"):
        return (0.5 + abs(draws)).astype("float32")
    if len(shape) > 1:
        return (draws * (2 / np.prod(shape[1:])) ** 0.5).astype("float32")
    return ((1 if key.endswith("weight") else 0) + 0.1 * draws).astype("float32")


_STEM = {
    "conv1.temporal_spatial_conv": "blocks.0.conv",
    "bn1": "blocks.0.norm",
    "conv1.spatial_conv": "blocks.0.blocks.0.conv_xy",
    "conv1.bn": "blocks.0.blocks.0.norm",
    "conv1.temporal_conv": "blocks.0.blocks.0.conv_t",
}
_PARTS = {
    "conv1": "branch2.conv_a",
    "bn1": "branch2.norm_a",
    "conv2": "branch2.conv_b",
    "bn2": "branch2.norm_b",
    "downsampleconv": "branch1_conv",
    "downsamplebn": "branch1_norm",
}
_SPLIT = {"temporal_spatial_conv": "", "spatial_conv": ".conv_xy", "bn": ".norm", "temporal_conv": ".conv_t"}


def _residual_key(key: str) -> str:
    """`conv1` and `bn1` are the stem, `convN.block1.PART[.SPLIT]` the only block of stage N - 1."""
    module, leaf = key.rsplit(".", 1)
    if module in _STEM:
        return f"{_STEM[module]}.{leaf}"
    stage, _, part, *split = module.split(".")
    return f"blocks.{int(stage[-1]) - 1}.res_blocks.0.{_PARTS[part]}{''.join(_SPLIT[s] for s in split)}.{leaf}"


def _split_residual_key(key: str) -> str:
    """In R(2+1)D the stem's second norm stands behind the split convolution."""
    return re.sub(r"^bn1\.", "blocks.0.blocks.1.", key) if key.startswith("bn1.") else _residual_key(key)


def _c3d_key(key: str) -> str:
    layers = ["1", "2", "3a", "3b", "4a", "4b", "5a", "5b"]
    kind, layer, leaf = re.match(r"(conv|bn)(\d\w?)\.(\w+)$", key).groups()
    return f"blocks.{layers.index(layer)}.{'conv' if kind == 'conv' else 'norm'}.{leaf}"


@pytest.mark.parametrize(
    ("name", "file", "rename"),
    [
        ("c3d", "pcl_c3d.json", _c3d_key),
        ("r3d_10", "pcl_r3d.json", _residual_key),
        ("r2plus1d_10", "pcl_r21d.json", _split_residual_key),
    ],
)
def test_features_equal_pcl(real_data: Path, name: str, file: str, rename):
    """The same architecture to the last layer: features within 1e-4 of the largest, fp32 on another machine."""
    reference_file = real_data.parent / "foreign" / file
    if not reference_file.is_file():
        pytest.skip(f"no reference outputs: {reference_file} does not exist")
    reference = json.loads(reference_file.read_text())
    prefix = "base_network."
    state = {
        rename(key.removeprefix(prefix)): torch.from_numpy(np.asarray(_fill(key, tuple(shape))))
        for key, shape in reference["keys"].items()
        if key.startswith(prefix)
    }
    model = kdvideo.create_model(name).eval()
    model.load_state_dict(state)
    clip = np.random.RandomState(0).standard_normal((2, 3, 16, 112, 112)).astype("float32")
    with torch.no_grad():
        feature = model(torch.from_numpy(clip))
    expected = torch.tensor(reference["feature"])
    assert (feature - expected).abs().max() / expected.abs().max() < 1e-4
