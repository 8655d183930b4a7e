"""Small stand-ins for a set of positions and a key network, with the attributes that count."""

import hashlib
from typing import NamedTuple

import torch

from rlcourse.go.splits import split_of
from rlcourse.go.symmetry import NUM_SYMMETRIES, transform_planes

SIZE, PLANES = 5, 2


class Batch(NamedTuple):
    planes: torch.Tensor
    stones: torch.Tensor


class Boards:
    """Random boards of some games; game n has 5 + n % 3 positions."""

    def __init__(self, num_games=30, seed=0, source=0):
        self.planes = torch.zeros(0, PLANES, SIZE, SIZE)
        self.games = self.plies = self.sources = torch.zeros(0, dtype=torch.int64)
        self.append(num_games, seed, source)

    def append(self, num_games, seed=1, source=1, first=0):
        generator = torch.Generator().manual_seed(seed)
        numbers = torch.arange(first, first + num_games)
        games = numbers.repeat_interleave(5 + numbers % 3)
        stones = torch.randint(-1, 2, (len(games), SIZE**2), generator=generator)
        planes = torch.stack([stones == 1, stones == -1], 1).float()
        plies = torch.cat([torch.arange(5 + n % 3) for n in numbers.tolist()])
        self.planes = torch.cat([self.planes, planes.view(-1, PLANES, SIZE, SIZE)])
        self.games = torch.cat([self.games, games])
        self.plies = torch.cat([self.plies, plies])
        self.sources = torch.cat([self.sources, torch.full_like(games, source)])

    def __len__(self):
        return len(self.games)

    @property
    def fingerprint(self):
        columns = (self.planes, self.games, self.plies, self.sources)
        data = b"".join(column.numpy().tobytes() for column in columns)
        return hashlib.sha256(data).hexdigest()

    def of_split(self, *splits):
        return torch.tensor([split_of(int(game)) in splits for game in self.games]).nonzero()[:, 0]

    def batch(self, ids):
        planes = self.planes[ids]
        return Batch(planes, (planes[:, 0] - planes[:, 1]).flatten(1).to(torch.int8))


class Projection:
    """Keys: a random projection; it can be told to fail after some calls, as a crash does."""

    def __init__(self, dim=8, seed=0, canonical=False, scale=1.0):
        generator = torch.Generator().manual_seed(seed)
        self.matrix = scale * torch.randn(PLANES * SIZE**2, dim, generator=generator)
        self.dim, self.fingerprint = dim, f"projection {dim} {seed} {canonical} {scale}"
        self.canonical, self.calls, self.fail_after = canonical, 0, None

    def __call__(self, planes):
        self.calls += 1
        if self.fail_after is not None and self.calls > self.fail_after:
            raise KeyboardInterrupt
        if self.canonical:
            planes = transform_planes(planes, canonical_form(planes))
        return planes.flatten(1) @ self.matrix


def canonical_form(planes):
    """The symmetry whose image reads as the largest row of numbers."""
    images = images_of(planes).flatten(2)
    best = [max(range(NUM_SYMMETRIES), key=lambda g: some[g].tolist()) for some in images]
    return torch.tensor(best)


def images_of(planes):
    """The eight images of each board [B, 8, C, H, W]."""
    symmetry = torch.arange(NUM_SYMMETRIES)[:, None].expand(-1, len(planes))
    return torch.stack([transform_planes(planes, some) for some in symmetry], 1)
