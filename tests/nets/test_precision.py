"""Mixed precision: which type the products have, and what is refused."""

import pytest
import torch

from rlcourse.nets.precision import (
    FORWARD_PRECISIONS,
    PRECISIONS,
    mixed_precision,
    native_precision,
)


@pytest.mark.parametrize("precision", FORWARD_PRECISIONS)
def test_products_have_the_type_that_is_named(precision):
    x = torch.ones(2, 2)
    with mixed_precision(precision, torch.device("cpu")):
        assert (x @ x).dtype == getattr(torch, precision)
    assert (x @ x).dtype == torch.float32


def test_what_training_takes_and_what_nobody_knows():
    assert "float16" not in PRECISIONS
    with pytest.raises(ValueError, match="must be one of float32, bfloat16, float16, got 'half'"):
        mixed_precision("half", torch.device("cpu"))


@pytest.mark.parametrize(
    ("flags", "precision"),
    [("avx2 avx512f", "float32"), ("avx512f avx512_bf16", "bfloat16"), ("amx_bf16", "bfloat16")],
)
def test_the_precision_follows_the_processor(tmp_path, flags, precision):
    said = tmp_path / "cpuinfo"
    said.write_text(f"processor : 0\nflags\t\t: fpu {flags} sse\n")
    assert native_precision(torch.device("cpu"), said) == precision


def test_an_unknown_processor_computes_in_float32(tmp_path):
    assert native_precision(torch.device("cpu"), tmp_path / "missing") == "float32"
    assert native_precision(torch.device("meta")) == "float32"
