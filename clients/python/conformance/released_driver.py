"""The driver, as a client that was generated from the contract of a release: its file is the only argument."""

import sys
from pathlib import Path

from released import use_contract

use_contract(Path(sys.argv[1]))

from driver import main  # noqa: E402 - once the contract is in place

main()
