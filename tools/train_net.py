#!/usr/bin/env python
"""Trains, evaluates, publishes: `tools/train_net.py --config-file F [--resume] [--eval-only] [KEY VALUE ...]`."""

import sys

from kdvideo.cli import train_main

if __name__ == "__main__":
    sys.exit(train_main())
