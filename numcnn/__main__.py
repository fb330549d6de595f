"""Run the command line with ``python -m numcnn``."""

from .cli import main

main()
