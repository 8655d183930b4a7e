"""Mixed precision."""

from contextlib import AbstractContextManager

import torch

PRECISIONS = ("float32", "bfloat16")


def mixed_precision(precision: str, device: torch.device) -> AbstractContextManager:
    """In its block a forward pass runs in this precision; "float32" changes nothing.

    Raises:
        ValueError: an unknown precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
