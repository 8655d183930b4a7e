"""What the checks of notebook 14 feed an answer, and what must hold of it by theory."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rlcourse.course.compare import CheckFailed
from rlcourse.course.grading import Case
from rlcourse.go.neighbors import inverse
from rlcourse.go.symmetry import transform_moves

SIZE = 9


def samples(generator: torch.Generator) -> Iterator[Case]:
    """Data whose directions differ clearly in variance, with a mean far from 0."""
    for number, features, dim in ((40, 6, 3), (30, 12, 4), (8, 20, 5)):
        spread = torch.linspace(1.0, 5.0, features).double() ** 2
        x = torch.randn(number, features, generator=generator, dtype=torch.float64) * spread
        turn = torch.linalg.qr(
            torch.randn(features, features, generator=generator, dtype=torch.float64)
        ).Q
        yield x @ turn + 3.0, dim


def searches(generator: torch.Generator) -> Iterator[Case]:
    for number, queries, dim, k, block in ((50, 4, 3, 5, 8), (64, 3, 8, 10, 64), (33, 5, 2, 7, 4)):
        keys = torch.randn(number, dim, generator=generator, dtype=torch.float64)
        keys = keys * torch.rand(number, 1, generator=generator).double() * 3
        yield torch.randn(queries, dim, generator=generator, dtype=torch.float64), keys, k, block


def lists_of_ids(generator: torch.Generator) -> Iterator[Case]:
    for number, k, pool in ((6, 5, 8), (20, 10, 14)):
        true = torch.stack([torch.randperm(pool, generator=generator)[:k] for _ in range(number)])
        found = torch.stack([torch.randperm(pool, generator=generator)[:k] for _ in range(number)])
        found[::2, -2:] = -1
        yield found, true
    found = [[3, -1, -1], [2, 1, 0], [3, 1, 4], [5, 6, 8]]
    true = [[7, 3, -1], [0, 1, 2], [2, -1, 1], [9, -1, 6]]
    yield torch.tensor(found), torch.tensor(true)


def moves_of_neighbors(generator: torch.Generator) -> Iterator[Case]:
    for number, k in ((60, 4), (40, 6)):
        expert = torch.randint(SIZE**2 + 1, (number,), generator=generator)
        symmetry = torch.randint(8, (number, k), generator=generator)
        moves = torch.randint(SIZE**2 + 1, (number, k), generator=generator)
        there = transform_moves(
            expert[:, None].expand(-1, k).flatten(), symmetry.flatten(), SIZE
        ).view(number, k)
        known = torch.rand(number, k, generator=generator) < 0.3
        moves = torch.where(known, there, moves)
        # Moves that a wrong treatment of the symmetry takes for the expert's
        astray = transform_moves(
            expert[:, None].expand(-1, k).flatten(), inverse(symmetry).flatten(), SIZE
        ).view(number, k)
        moves[::3] = torch.where(known[::3], astray[::3], moves[::3])
        moves[1::5, -1] = -1
        yield moves, symmetry, expert, SIZE


def measured_settings(generator: torch.Generator) -> Iterator[Case]:
    for num_keys, wanted in ((50_000, 0.9), (50_000, 0.99), (1_000, 0.8), (50_000, 1.0)):
        settings = []
        for nlist in (64, 256, 1024):
            for nprobe in (1, 4, 16, 64):
                noise = float(torch.rand((), generator=generator)) * 0.05
                recall = min(0.995, 1.0 - 0.45 * (1 - nprobe / nlist) ** 3 / nprobe**0.7 - noise)
                settings.append((nlist, nprobe, recall))
        order = torch.randperm(len(settings), generator=generator).tolist()
        yield [settings[place] for place in order], num_keys, wanted
    ties = [(128, 64, 0.97), (512, 16, 0.97), (128, 4, 0.9), (32, 1, 0.7)]
    yield ties, 50_000, 0.99  # out of reach: two have the highest recall
    yield ties, 50_000, 0.9  # reached exactly


def components_are_orthonormal(answer) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(30, 7, generator=generator, dtype=torch.float64)
    _, components = answer(x, 4)
    product = components @ components.T
    if float((product - torch.eye(4, dtype=x.dtype)).abs().max()) > 1e-4:
        raise CheckFailed(
            "the rows of the components must have length 1 and right angles between them"
        )


class _Largest(TorchFunctionMode):
    """Remembers the most numbers that a new tensor of an operation has.

    A mode of dispatch would see more, but entering the first one imports the compiler: seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_function__(self, function, types, args=(), kwargs=None) -> Any:
        result = function(*args, **(kwargs or {}))
        inputs = {id(part) for part in args}
        for part in result if isinstance(result, tuple | list) else (result,):
            if isinstance(part, Tensor) and id(part) not in inputs and not part._is_view():
                self.numel = max(self.numel, part.numel())
        return result


def memory_stays_small(answer) -> None:
    """No tensor of an operation is larger than a few blocks."""
    generator = torch.Generator().manual_seed(4)
    queries, keys = (torch.randn(n, 8, generator=generator) for n in (50, 4_000))
    with _Largest() as largest:
        answer(queries, keys, 5, 100)
    limit = 4 * (50 * 100 + keys.numel() // 10)
    if largest.numel > limit:
        raise CheckFailed(
            f"a tensor of {largest.numel:,} numbers is made for 50 queries, 4,000 keys and blocks"
            " of 100: compare with one block of keys at a time, and join only the k best of what"
            " came before with it"
        )


def a_key_finds_itself(answer) -> None:
    keys = torch.randn(40, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    distances, ids = answer(keys[10:13], keys, 2, 7)
    if ids[:, 0].tolist() != [10, 11, 12]:
        raise CheckFailed(
            "the nearest key of a key is itself: keys 10, 11 and 12 were asked for, and the first"
            f" ids are {ids[:, 0].tolist()}"
        )
    if float(distances.min()) < -1e-6 or float(distances[:, 0].max()) > 1e-6:
        raise CheckFailed("the distance of a key from itself must be 0")


def distances_are_not_negative(answer) -> None:
    generator = torch.Generator().manual_seed(6)
    keys = 100 + torch.randn(30, 5, generator=generator)  # far from 0, so that rounding is large
    distances, _ = answer(keys, keys, 1, 16)
    if float(distances.min()) < 0:
        raise CheckFailed(
            f"a squared distance is {float(distances.min()):.2g}: rounding has made it negative, so"
            " end with .clamp(min=0)"
        )


def order_does_not_matter(answer) -> None:
    got = answer(torch.tensor([[1, 2, 3]]), torch.tensor([[3, 1, 2]]))
    if abs(float(got) - 1.0) > 1e-6:
        raise CheckFailed(
            "the same three neighbors in another order are all found: the recall is 1, here it is"
            f" {float(got):.3g}"
        )
