"""Mixed precision: which type the products have, and what is refused."""

import pytest
import torch

from rlcourse.nets.precision import FORWARD_PRECISIONS, PRECISIONS, mixed_precision


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
