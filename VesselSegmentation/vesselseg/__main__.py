"""``python -m vesselseg``: the command line, for workers that have no console script on their path."""

import sys

from vesselseg.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
