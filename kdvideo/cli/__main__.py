"""`python -m kdvideo.cli`."""

import sys

from kdvideo.cli import main

sys.exit(main())
