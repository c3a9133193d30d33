"""Arguments that several commands share."""

import argparse

from kdvideo.cli.imports import add_import_argument

__all__ = ["add_model_argument"]

_SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--model`, the weights that come with kdvideo unless given, and `--import` for a network of one's own."""
    parser.add_argument(
        "--model", default=_SHIPPED, metavar="NAME", help="zoo name, path or URL (default %(default)s, which ships)"
    )
    add_import_argument(parser)
