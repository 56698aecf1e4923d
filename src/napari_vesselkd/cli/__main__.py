"""``python -m napari_vesselkd.cli``: the same as ``vesselkd``."""

import sys

from napari_vesselkd.cli import main

sys.exit(main())
