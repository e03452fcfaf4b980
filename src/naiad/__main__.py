# SPDX-License-Identifier: Apache-2.0
"""`python -m naiad` is `naiad`."""

from naiad.cli.main import main

if __name__ == "__main__":
    main()
