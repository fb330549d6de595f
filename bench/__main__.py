"""``python -m numcnn.bench``: the same as ``numcnn bench``."""

from __future__ import annotations

import sys

from numcnn.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["bench"]
    main()
