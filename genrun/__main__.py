"""`python -m genrun` is `genrun`."""

import sys

if not sys.flags.safe_path:  # the current folder stands first: its files must not hide a library
    sys.path.append(sys.path.pop(0))

from genrun.cli import main

if __name__ == "__main__":
    main()
