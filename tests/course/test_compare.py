"""Each way in which an answer can differ has its own sentence, and the sentence names the mend."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch

from rlcourse.course.compare import CheckFailed, assert_same, clone, difference

INF, NAN = float("inf"), float("nan")


class Pair(NamedTuple):
    first: torch.Tensor
    second: float


@dataclass(frozen=True)
class Table:
    reward: torch.Tensor
    name: str = "table"


ONES = torch.ones(2, 3)

DIFFERENCES = {
    "nothing": (None, ONES, "`return` statement"),
    "a float for a tensor": (1.0, ONES, "without .item()"),
    "numpy for a tensor": (np.ones((2, 3)), ONES, "without .numpy()"),
    "a list for a tensor": ([1.0], ONES, "is a list"),
    "keepdim": (torch.ones(2, 1), torch.ones(2), "keepdim"),
    "swapped axes": (torch.ones(3, 2), ONES, "axes are swapped"),
    "too few axes": (torch.tensor(1.0), ONES, "too many axes"),
    "too many axes": (torch.ones(2, 3, 4), ONES, "axis is left over"),
    "other shape": (torch.ones(2, 4), ONES, r"\[2, 4\], \[2, 3\] is wanted"),
    "integers": (ONES.long(), ONES, "cut off fractions"),
    "double": (ONES.double(), ONES, "zeros_like"),
    "floats for integers": (ONES, ONES.long(), r"\.to\(torch.int64\)"),
    "device": (torch.ones(2, 3, device="meta"), ONES, "device=x.device"),
    "NaN": (torch.tensor([1.0, NAN]), torch.ones(2), r"nan at index \[1\].*work in logs"),
    "infinity": (torch.tensor([INF, 1.0]), torch.ones(2), r"inf at index \[0\].*work in logs"),
    "value": (ONES * 2, ONES, r"2 at index \[0, 0\], 1 is wanted"),
    "booleans": (torch.tensor([True]), torch.tensor([False]), r"at index \[0\]"),
    "no stop-gradient": (ONES.clone().requires_grad_(), ONES, r"\.detach\(\) the target"),
    "no gradient": (ONES, ONES.clone().requires_grad_(), "carries no gradient"),
    "a tensor for a float": (torch.tensor(1.0), 1.0, r"\.item\(\)"),
    "a float's value": (1.5, 1.0, "1.5, 1 is wanted"),
    "a bool for a float": (True, 1.0, "a float is wanted"),
    "too few parts": ((1.0,), (1.0, 2.0), "1 parts, 2 are wanted"),
    "a tuple's part": ((1.0, 3.0), (1.0, 2.0), r"result\[1\] is 3"),
    "a named part": (Pair(ONES, 2.0), Pair(ONES, 1.0), r"result\.second is 2"),
    "a dict's keys": ({"a": 1.0}, {"b": 1.0}, r"\['a'\]; wanted are \['b'\]"),
    "a dataclass's field": (Table(ONES * 2), Table(ONES), r"result\.reward is 2"),
    "no tuple": (ONES, (ONES, ONES), "a tuple is wanted"),
    "a string": ("left", "right", "'left'.*'right'"),
}


@pytest.mark.parametrize("case", DIFFERENCES, ids=str)
def test_differences_are_named(case):
    got, expected, says = DIFFERENCES[case]
    with pytest.raises(CheckFailed, match=says):
        assert_same(got, expected)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (ONES, ONES + 1e-7),
        (torch.tensor([-INF, NAN]), torch.tensor([-INF, NAN])),
        (1, 1.0),
        (Pair(ONES, 1.0), Pair(ONES, 1.0)),
        ((ONES, {"a": [1.0, "x", None]}), (ONES, {"a": [1.0, "x", None]})),
        (torch.tensor([True]), torch.tensor([True])),
    ],
)
def test_equals_pass(got, expected):
    assert difference(got, expected) is None


def test_clones_share_nothing_and_keep_their_kind():
    generator = torch.Generator().manual_seed(3)
    value = (ONES.clone().requires_grad_(), Pair(ONES, 1.0), Table(ONES), {"a": [ONES]}, generator)
    twin = clone(value)
    assert difference(twin, value) is None
    assert twin[0].requires_grad
    twin[2].reward.zero_()
    twin[3]["a"][0].zero_()
    assert ONES.all()
    drawn = torch.rand(3, generator=twin[4])
    assert torch.equal(drawn, torch.rand(3, generator=generator))
