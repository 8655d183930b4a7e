"""The one place that decides how the OpenMP threads of torch and faiss wait for work."""

import os


def wait_passively() -> None:
    """Have idle threads sleep; call it before the first import of torch or faiss.

    Each of the two brings an OpenMP of its own. By default an idle thread spins, and on a busy
    machine the threads of one library then starve those of the other. A setting of the user's own
    is left alone.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
