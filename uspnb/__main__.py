"""`python -m uspnb` is the command line of uspnb."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
