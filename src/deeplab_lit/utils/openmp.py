"""OpenMP setting for the network's threads beside the CRF's. It imports no torch, so that it can come first."""

from __future__ import annotations

import os


def leave_cores_to_the_crf() -> None:
    """Let the network's threads sleep while they wait, so that the CRF's threads get their cores.

    OpenMP reads the setting once, when torch is imported. On two cores, the network alone becomes a tenth slower, and
    the network beside the CRF takes three quarters of the time.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
