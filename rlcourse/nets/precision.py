"""Mixed precision."""

from contextlib import AbstractContextManager
from pathlib import Path

import torch

PRECISIONS = ("float32", "bfloat16")  # for training
FORWARD_PRECISIONS = (*PRECISIONS, "float16")  # its gradients would need a scale
_BFLOAT16 = {"avx512_bf16", "amx_bf16"}  # without these a processor takes longer for it


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


def native_precision(device: torch.device, processor: Path = Path("/proc/cpuinfo")) -> str:
    """The precision of training that is fast here: "bfloat16" where the hardware has instructions
    for it, otherwise "float32".

    Args:
        device: of the network.
        processor: what Linux says of the CPU; where it says nothing, "float32" is the answer.
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    known = processor.read_text().split() if device.type == "cpu" and processor.exists() else []
    return "bfloat16" if _BFLOAT16 & set(known) else "float32"
