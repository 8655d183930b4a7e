"""Mixed precision."""

from contextlib import AbstractContextManager

import torch

PRECISIONS = ("float32", "bfloat16")  # for training
FORWARD_PRECISIONS = (*PRECISIONS, "float16")  # its gradients would need a scale


def mixed_precision(precision: str, device: torch.device) -> AbstractContextManager:
    """In its block a forward pass runs in this precision; "float32" changes nothing.

    Raises:
        ValueError: an unknown precision.
    """
    if precision not in FORWARD_PRECISIONS:
        known = ", ".join(FORWARD_PRECISIONS)
        raise ValueError(f"precision must be one of {known}, got {precision!r}")
    dtype = torch.float16 if precision == "float16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=precision != "float32")
