"""Writes the table of layouts in docs/checkpoints.md: python docs/make_checkpoints_table.py FOLDER

FOLDER holds the key layouts and reference outputs of other projects' networks, as tests/foreign.py reads them.
"""

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import simplejson
import torch
from torch import Tensor
from torchvision.models import video

from kdvideo.models.pytorchvideo_parts import hub
from kdvideo.tables import markdown_table
from kdvideo.zoo.formats import LAYOUTS, Layout, convert, recognise

PAGE = Path(__file__).with_name("checkpoints.md")
START, END = "<!-- layouts -->\n", "<!-- end of layouts -->\n"
HEAD = ("Layout", "Files of", "Backbone here", "Keys: used, dropped", "Input conventions", "Checked against")
# layout -> (key layout and outputs of the project's own network, what was compared to 1e-4)
REFERENCES = {
    "pcl-c3d": ("pcl_c3d", "PCL's network: features, pretext logits, projections"),
    "pcl-r3d": ("pcl_r3d", "PCL's network: features, pretext logits, projections"),
    "pcl-r21d": ("pcl_r21d", "PCL's network: features, pretext logits, projections"),
    "pcl-r2plus1d_18": ("severe_pcl_r2plus1d18", "PCL's network: features"),
    "ig65m-r2plus1d_34": ("ig65m_r2plus1d34", "ig65m-pytorch's network: features, logits"),
    "mmaction2-c3d": ("mmaction2_c3d", "MMAction2's network: features, logits"),
    "mmaction2-r2plus1d_34": ("mmaction2_r2plus1d34", "MMAction2's network: features"),
    "hara-r3d_18": ("hara_r3d18", "3D-ResNets-PyTorch's network: features, logits"),
}
# layouts whose features and logits are compared to 1e-5 with the library's own code; of the others, every key is
LIBRARY_OUTPUTS = {
    **dict.fromkeys(("r3d_18", "mc3_18", "r2plus1d_18", "slow_r50", "r2plus1d_r50"), "features, logits"),
    **dict.fromkeys(("s3d", "mvit_v2_s", "swin3d_t"), "logits"),
    "x3d_m": "features, logits of X3D-XS",
}


def example(layout: Layout, folder: Path) -> tuple[dict[str, Tensor], str]:
    """A state dict in the layout, without its numbers, and what it was checked against."""
    name = layout.name.partition("-")[2]
    if layout.name in REFERENCES:
        file, checked = REFERENCES[layout.name]
        keys = simplejson.loads((folder / f"{file}.json").read_text(encoding="utf-8"))["keys"]
        return {key.removeprefix("module."): _empty(shape) for key, shape in keys.items()}, checked
    if layout.name.startswith("videomae-"):
        checked = "a tiny network of the same description, written for the test: features, logits"
        return _videomae(layout.backbone_kwargs["config"]), checked
    if layout.name.startswith(("rspnet-", "vcop-")):
        file, _ = REFERENCES[f"pcl-{name}"]
        keys = simplejson.loads((folder / f"{file}.json").read_text(encoding="utf-8"))["keys"]
        inner = {key.removeprefix("base_network."): shape for key, shape in keys.items() if key.startswith("base_")}
        if layout.name.startswith("vcop-"):
            checked = f"features of {file}, the same network, under its own keys"
            return {key: _empty(shape) for key, shape in inner.items()}, checked
        state = {f"encoder_{which}.encoder.{key}": _empty(shape) for which in "qk" for key, shape in inner.items()}
        return state, f"features of {file}, the same network, under RSPNet's keys"
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = getattr(video if layout.project == "torchvision" else hub, layout.backbone)()
    state = {layout.prefix + key: value for key, value in network.state_dict().items()}
    compared = "every key" if layout.project == "PySlowFast" else LIBRARY_OUTPUTS.get(name, "every key")
    return state, f"the library's code: {compared}"


def _videomae(config: Mapping[str, Any]) -> dict[str, Tensor]:
    """A state dict of VideoMAE's code as the project names its tensors, with 710 classes."""
    width, patch = config["hidden_size"], config["patch_size"]
    vectors = ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "attn.q_bias", "attn.v_bias")
    vectors += ("attn.proj.bias", "mlp.fc2.bias")
    block = {name: [width] for name in vectors}
    block |= {"attn.qkv.weight": [3 * width, width], "attn.proj.weight": [width, width]}
    block |= {"mlp.fc1.weight": [4 * width, width], "mlp.fc1.bias": [4 * width], "mlp.fc2.weight": [width, 4 * width]}
    shapes = {"patch_embed.proj.weight": [width, 3, 2, patch, patch], "patch_embed.proj.bias": [width]}
    shapes |= {"fc_norm.weight": [width], "fc_norm.bias": [width], "head.weight": [710, width], "head.bias": [710]}
    for layer in range(config["num_hidden_layers"]):
        shapes |= {f"blocks.{layer}.{name}": shape for name, shape in block.items()}
    return {name: _empty(shape) for name, shape in shapes.items()}


def _empty(shape: list[int]) -> Tensor:
    return torch.empty(shape, device="meta")


def table(folder: Path) -> str:
    """Renders the table of all layouts."""
    return markdown_table([HEAD, *(_row(layout, folder) for layout in LAYOUTS)])


def _row(layout: Layout, folder: Path) -> tuple[str, ...]:
    state, checked = example(layout, folder)
    match = recognise(state, LAYOUTS)
    assert match is not None
    assert match.layout is layout
    converted = convert(state, match, origin=layout.name)
    return (
        f"`{layout.name}`",
        layout.project,
        f"`{layout.backbone}`",
        f"{len(converted.renamed)}, {len(converted.dropped)}",
        ", ".join(f"`{name}`" for name in layout.clip_specs),
        checked,
    )


def main(folder: Path) -> None:
    """Replaces what stands between the page's two marks."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{START}{table(folder)}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
