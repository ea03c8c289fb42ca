"""How the network's threads wait for each other beside the CRF's. It imports nothing, so that it can come first."""

from __future__ import annotations

import os


def leave_cores_to_the_crf() -> None:
    """Let threads of the network that wait for others sleep; they would hold the cores that the CRF's threads need.

    OpenMP reads this once, when torch is imported. On two cores the network alone is a tenth slower so, and the two
    together take three quarters of the time.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
