"""Compare an answer with what is expected, and say in one sentence what is wrong and what mends it.

An answer is a tensor, a number, a string, None, or a tuple, NamedTuple, list, dict or dataclass of
answers.
"""

import copy
import dataclasses
from typing import Any

import torch

RELATIVE_TOLERANCE = 1e-4
ABSOLUTE_TOLERANCE = 1e-5


class CheckFailed(AssertionError):  # noqa: N818 - it is a verdict, not a fault of the program
    """An answer is wrong. The message is one sentence for the learner."""


def assert_same(got: Any, expected: Any, what: str = "the result") -> None:
    """Raise CheckFailed with a sentence about `what` unless `got` equals `expected`."""
    says = difference(got, expected, what)
    if says is not None:
        raise CheckFailed(says)


def difference(got: Any, expected: Any, what: str = "the result") -> str | None:
    """One sentence on the first difference, or None when `got` is as good as `expected`."""
    if isinstance(expected, torch.Tensor):
        return _tensor_difference(got, expected, what)
    expected_parts = parts(expected)
    if expected_parts is not None:
        return _parts_difference(got, expected, expected_parts, what)
    return _plain_difference(got, expected, what)


def parts(value: Any) -> dict[str, Any] | None:
    """The named parts of a container, or None for everything else."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return value._asdict()
    if isinstance(value, tuple | list):
        return {f"[{i}]": part for i, part in enumerate(value)}
    if isinstance(value, dict):
        return {f"[{key!r}]": part for key, part in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def clone(value: Any) -> Any:
    """A deep copy that shares no memory; generators continue with the same random numbers."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, torch.Generator):
        return torch.Generator(value.device).set_state(value.get_state())
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(clone, value))
    if isinstance(value, tuple | list):
        return type(value)(map(clone, value))
    if isinstance(value, dict):
        return {key: clone(part) for key, part in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        twin = copy.copy(value)
        for name, part in parts(value).items():
            object.__setattr__(twin, name, clone(part))  # frozen dataclasses refuse setattr
        return twin
    return copy.deepcopy(value)


def describe(value: Any) -> str:
    """A few words on a value: what it is, its dtype and shape."""
    if value is None:
        return "nothing (None)"
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {list(value.shape)}"
    if isinstance(value, bool | int | float | str):
        return f"the {type(value).__name__} {value!r}"
    article = "an" if type(value).__name__[0].lower() in "aeiou" else "a"
    return f"{article} {type(value).__name__}"


def _tensor_difference(got: Any, expected: torch.Tensor, what: str) -> str | None:
    if not isinstance(got, torch.Tensor):
        return _not_a_tensor(got, expected, what)
    if got.shape != expected.shape:
        return (
            f"{what} has shape {list(got.shape)}, {list(expected.shape)} is wanted: "
            f"{_shape_mend(got, expected)}"
        )
    if got.dtype != expected.dtype:
        return _dtype_difference(got, expected, what)
    if got.device != expected.device:
        return (
            f"{what} is on {got.device}, its inputs are on {expected.device}: "
            "create tensors with device=x.device, or with torch.zeros_like(x)"
        )
    return _value_difference(got, expected, what) or _gradient_difference(got, expected, what)


def _not_a_tensor(got: Any, expected: torch.Tensor, what: str) -> str:
    wanted = f"a tensor of shape {list(expected.shape)} is wanted"
    if got is None:
        return f"{what} is nothing (None), {wanted}: end the function with a `return` statement"
    if isinstance(got, bool | int | float):
        mend = "stay in torch, without .item() and float()"
    elif type(got).__module__ == "numpy":
        mend = "stay in torch, without .numpy()"
    else:
        mend = "return the tensor itself"
    return f"{what} is {describe(got)}, {wanted}: {mend}"


def _shape_mend(got: torch.Tensor, expected: torch.Tensor) -> str:
    got_shape, expected_shape = list(got.shape), list(expected.shape)
    if [n for n in got_shape if n != 1] == [n for n in expected_shape if n != 1]:
        return "an axis of length 1 is left over or missing, look at keepdim, squeeze and [:, None]"
    if got_shape == expected_shape[::-1]:
        return "the axes are swapped"
    if len(got_shape) < len(expected_shape):
        return "a sum, mean or max runs over too many axes, give it `dim`"
    if len(got_shape) > len(expected_shape):
        return "an axis is left over, reduce over it with the right `dim`"
    return "look at which axis you reduce, index or broadcast over"


def _dtype_difference(got: torch.Tensor, expected: torch.Tensor, what: str) -> str:
    says = f"{what} has dtype {got.dtype}, {expected.dtype} is wanted: "
    if expected.is_floating_point() and not got.is_floating_point():
        return says + "integers cut off fractions, create it with the dtype of the float inputs"
    if expected.is_floating_point():
        return says + "keep the dtype of the inputs, for example with torch.zeros_like(x)"
    return says + f"convert it with .to({expected.dtype})"


def _value_difference(got: torch.Tensor, expected: torch.Tensor, what: str) -> str | None:
    close = torch.isclose(
        got.detach().double(),  # integers and booleans too: isclose cannot subtract booleans
        expected.detach().double(),
        RELATIVE_TOLERANCE,
        ABSOLUTE_TOLERANCE,
        equal_nan=True,
    )
    if bool(close.all()):
        return None
    index = tuple((~close).nonzero()[0].tolist())
    where = f" at index {list(index)}" if index else ""
    value, wanted = got[index].item(), expected[index].item()
    says = f"{what} is {_number(value)}{where}, {_number(wanted)} is wanted"
    if value != value and wanted == wanted:
        return says + ": look for 0/0, inf - inf, or the log of a negative number; work in logs"
    if abs(value) == float("inf") and abs(wanted) != float("inf"):
        return says + ": look for exp of a large number, log(0) or a division by 0; work in logs"
    return says


def _gradient_difference(got: torch.Tensor, expected: torch.Tensor, what: str) -> str | None:
    if got.requires_grad and not expected.requires_grad:
        return f"{what} lets gradients through where none may pass: .detach() the target"
    if expected.requires_grad and not got.requires_grad:
        return f"{what} carries no gradient: remove the .detach() or torch.no_grad() on its way"
    return None


def _parts_difference(
    got: Any, expected: Any, expected_parts: dict[str, Any], what: str
) -> str | None:
    got_parts = parts(got)
    if got_parts is None:
        return f"{what} is {describe(got)}, {describe(expected)} is wanted"
    if len(got_parts) != len(expected_parts):
        return f"{what} has {len(got_parts)} parts, {len(expected_parts)} are wanted"
    if list(got_parts) != list(expected_parts):
        wanted = ", ".join(expected_parts)
        return f"{what} has the parts {', '.join(got_parts)}; wanted are {wanted}"
    for name, part in expected_parts.items():
        path = what + (name if name.startswith("[") else f".{name}")
        says = difference(got_parts[name], part, path)
        if says is not None:
            return says
    return None


def _plain_difference(got: Any, expected: Any, what: str) -> str | None:
    if isinstance(expected, float):
        return _float_difference(got, expected, what)
    if isinstance(expected, torch.Generator):
        return None
    if type(got) is type(expected) and got == expected:
        return None
    return f"{what} is {describe(got)}, {describe(expected)} is wanted"


def _float_difference(got: Any, expected: float, what: str) -> str | None:
    if isinstance(got, torch.Tensor) and got.ndim == 0:
        return f"{what} is a tensor, a Python float is wanted: convert it with .item()"
    if isinstance(got, bool) or not isinstance(got, int | float):
        return f"{what} is {describe(got)}, a float is wanted"
    return _value_difference(
        torch.tensor(got, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64), what
    )


def _number(value: float) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
