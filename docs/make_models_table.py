"""Writes the table of docs/models.md: python docs/make_models_table.py, two minutes on one core."""

from pathlib import Path

import torch

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone
from kdvideo.models.pcl import takes_option
from kdvideo.models.pytorchvideo_parts import hub
from kdvideo.registry import BACKBONES
from kdvideo.tables import markdown_table
from kdvideo.zoo.publish import count_macs

PAGE = Path(__file__).with_name("models.md")
HEAD = (
    *("Name", "From", "Input: frames x stride, size", "Parameters (M)", "GMACs", "Features"),
    "GMACs of 16 x 112 x 112",
)
START, END = "<!-- table -->\n", "<!-- end of table -->\n"


def row(name: str) -> tuple[str, ...]:
    """Returns the table's row of one backbone."""
    backbone = kdvideo.create_model(name)
    spec = backbone.clip_spec
    params = sum(parameter.numel() for parameter in backbone.parameters())
    return (
        f"`{name}`",
        "kdvideo" if takes_option(name, "width") else "PyTorchVideo" if hasattr(hub, name) else "torchvision",
        f"{spec.clip_len} x {spec.frame_stride}, {spec.size} x {spec.size}",
        f"{params / 1e6:.2f}",
        f"{count_macs(backbone) / 1e9:.2f}",
        str(backbone.num_features),
        _usual_macs(name, backbone),
    )


def _usual_macs(name: str, backbone: Backbone) -> str:
    try:
        backbone = kdvideo.create_model(name, clip_spec=ClipSpec())
    except ValueError:
        return "native size only"
    return f"{count_macs(backbone) / 1e9:.2f}"


def main() -> None:
    """Replaces what stands between the page's two marks."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    own_first = sorted(
        BACKBONES.names(), key=lambda name: (not takes_option(name, "width"), not hasattr(hub, name), name)
    )
    rows = [HEAD]
    for name in own_first:
        with torch.no_grad():
            rows.append(row(name))
        print(*rows[-1], sep="  ", flush=True)
    PAGE.write_text(f"{before}{START}{markdown_table(rows)}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
