"""Wrong answers to the exercises of notebook 14, as a learner would write them."""

import torch

from rlcourse.go.neighbors import inverse
from rlcourse.go.pca import fixed_signs
from rlcourse.go.symmetry import transform_moves
from tests.course.wrong_answers.wrong import Wrong


def pca_uncentered(x, dim):
    _, _, vh = torch.linalg.svd(x, full_matrices=False)
    return x.mean(0), fixed_signs(vh[:dim])


def pca_smallest_of_svd(x, dim):
    mean = x.mean(0)
    vh = torch.linalg.svd(x - mean, full_matrices=False)[2]
    return mean, fixed_signs(torch.flip(vh, (0,))[:dim])


def pca_columns(x, dim):
    mean = x.mean(0)
    _, _, transposed = torch.linalg.svd(x - mean, full_matrices=False)
    return mean, fixed_signs(transposed.mT.narrow(0, 0, dim))


def pca_left(x, dim):
    mean = x.mean(0)
    u = torch.linalg.svd(x - mean, full_matrices=False)[0]
    return mean, fixed_signs(u.T[:dim])


def pca_signs(x, dim):
    mean = x.mean(0)
    return mean, torch.linalg.svd(x - mean, full_matrices=False)[2][:dim]


def pca_only_components(x, dim):
    return fixed_signs(torch.linalg.svd(x - x.mean(0), full_matrices=False)[2][:dim])


def pca_standardized(x, dim):
    mean, scale = x.mean(0), x.std(0)
    return mean, fixed_signs(torch.linalg.svd((x - mean) / scale, full_matrices=False)[2][:dim])


def _eigenvectors(x):
    centered = x - x.mean(0)
    return torch.linalg.eigh(centered.T @ centered / len(x))[1]


def pca_eigh_as_it_comes(x, dim):
    return x.mean(0), fixed_signs(_eigenvectors(x)[:, :dim].T)


def pca_eigh_last(x, dim):
    return x.mean(0), fixed_signs(_eigenvectors(x)[:, -dim:].T)


def pca_in_place(x, dim):
    mean = x.mean(0)
    x -= mean
    return mean, fixed_signs(torch.linalg.svd(x, full_matrices=False)[2][:dim])


def nearest_all_at_once(queries, keys, k, block):
    squares = (queries**2).sum(1)[:, None] - 2 * queries @ keys.T + (keys**2).sum(1)
    return squares.clamp(min=0).topk(k, largest=False)


def nearest_differences(queries, keys, k, block):
    squares = ((queries[:, None] - keys[None]) ** 2).sum(-1)
    return squares.topk(k, largest=False)


def nearest_roots(queries, keys, k, block):
    return torch.cdist(queries, keys).topk(k, largest=False)


def _in_blocks(queries, keys, k, block, offset=True, both=True, largest=False, keys_term=True):
    best, ids = None, None
    for start in range(0, len(keys), block):
        part = keys[start : start + block]
        squares = (queries**2).sum(1, keepdim=True) - 2 * queries @ part.T
        if keys_term:
            squares = squares + (part**2).sum(1)
        place = torch.arange(len(part)).expand(len(queries), -1) + (start if offset else 0)
        if best is not None and both:
            squares, place = torch.cat([best, squares], 1), torch.cat([ids, place], 1)
        best, order = squares.topk(min(k, squares.shape[1]), largest=largest)
        ids = place.gather(1, order)
    return best, ids


def nearest_unclamped(queries, keys, k, block):
    return _in_blocks(queries, keys, k, block)


def nearest_no_offset(queries, keys, k, block):
    return _in_blocks(queries, keys, k, block, offset=False)


def nearest_forgets(queries, keys, k, block):
    return _in_blocks(queries, keys, k, block, both=False)


def nearest_largest(queries, keys, k, block):
    return _in_blocks(queries, keys, k, block, largest=True)


def nearest_no_norms(queries, keys, k, block):
    return _in_blocks(queries, keys, k, block, keys_term=False)


def nearest_places_of_the_joined_row(queries, keys, k, block):
    best = torch.cdist(queries, keys[:0])
    for start in range(0, len(keys), block):
        squares = torch.cdist(queries, keys[start : start + block]) ** 2
        joined = torch.cat([best, squares], 1)
        best, ids = joined.topk(min(k, joined.shape[1]), largest=False)
    return best, ids


def nearest_swapped(queries, keys, k, block):
    return _in_blocks(queries, keys, k, block)[::-1]


def _here(moves, symmetry, size, back=inverse):
    return transform_moves(moves.flatten(), back(symmetry).flatten(), size).view_as(moves)


def among_as_they_are(moves, symmetry, expert, size):
    return (moves == expert[:, None]).cumsum(1).clamp(max=1).float()


def among_forward(moves, symmetry, expert, size):
    same = _here(moves, symmetry, size, back=lambda g: g) == expert[:, None]
    return same.cumsum(1).clamp(max=1).float()


def among_each(moves, symmetry, expert, size):
    return (_here(moves, symmetry, size) == expert[:, None]).float()


def among_counts(moves, symmetry, expert, size):
    return (_here(moves, symmetry, size) == expert[:, None]).cumsum(1).float()


def among_rate(moves, symmetry, expert, size):
    same = (_here(moves, symmetry, size) == expert[:, None]).float()
    return same.cumsum(1) / torch.arange(1, same.shape[1] + 1)


def among_everyone(moves, symmetry, expert, size):
    knows = (_here(moves, symmetry, size) == expert[:, None]).any(1)
    return knows[:, None].repeat(1, moves.shape[1]).float()


def among_wrong_axis(moves, symmetry, expert, size):
    return (_here(moves, symmetry, size) == expert[:, None]).cumsum(0).clamp(max=1).float()


def among_mean(moves, symmetry, expert, size):
    same = _here(moves, symmetry, size) == expert[:, None]
    return same.cumsum(1).clamp(max=1).float().mean(0)


def among_bools(moves, symmetry, expert, size):
    return (_here(moves, symmetry, size) == expert[:, None]).cumsum(1) > 0


def recall_same_place(found, true):
    return float((found == true)[true >= 0].float().mean())


def recall_with_padding(found, true):
    return float((true.unsqueeze(-1) == found.unsqueeze(1)).any(-1).float().mean())


def recall_as_precision(found, true):
    hits = total = 0
    for row, wanted in zip(found.tolist(), true.tolist(), strict=True):
        kept = [i for i in row if i >= 0]
        hits, total = hits + len(set(kept) & set(wanted)), total + len(kept)
    return hits / total


def recall_finds_padding(found, true):
    hits = sum(int(i in row) for row, ids in zip(found, true, strict=True) for i in ids)
    return hits / int((true >= 0).sum())


def recall_other_axis(found, true):
    real = true >= 0
    return int(((found[:, None] == true[:, :, None]).any(1) & real).sum()) / int(real.sum())


def recall_mean_of_rows(found, true):
    shares = []
    for row, wanted in zip(found.tolist(), true.tolist(), strict=True):
        real = [i for i in wanted if i >= 0]
        shares.append(sum(i in row for i in real) / len(real))
    return sum(shares) / len(shares)


def recall_of_rows(found, true):
    rows = zip(found.tolist(), true.tolist(), strict=True)
    return sum(bool((set(f) & set(t)) - {-1}) for f, t in rows) / len(true)


def recall_tensor(found, true):
    real = true >= 0
    return ((true[:, :, None] == found[:, None]).any(-1) & real).sum() / real.sum()


def _cost(num_keys, setting):
    return setting[0] + setting[1] * num_keys / setting[0]


def choose_ignoring_recall(settings, num_keys, wanted):
    return tuple(min(settings, key=lambda s: _cost(num_keys, s))[:2])


def choose_most_recall(settings, num_keys, wanted):
    return tuple(max(settings, key=lambda s: s[2])[:2])


def choose_without_centers(settings, num_keys, wanted):
    high = max(s[2] for s in settings)
    good = [s for s in settings if s[2] >= min(wanted, high)]
    return min(good, key=lambda s: s[1] * num_keys / s[0])[:2]


def choose_fails(settings, num_keys, wanted):
    good = [s for s in settings if s[2] >= wanted]
    return min(good, key=lambda s: _cost(num_keys, s))[:2]


def choose_nothing(settings, num_keys, wanted):
    good = [s for s in settings if s[2] >= wanted]
    return min(good, key=lambda s: _cost(num_keys, s))[:2] if good else None


def choose_first_best(settings, num_keys, wanted):
    good = [s for s in settings if s[2] >= wanted]
    if not good:
        return max(settings, key=lambda s: s[2])[:2]
    return min(good, key=lambda s: _cost(num_keys, s))[:2]


def choose_cheap_fallback(settings, num_keys, wanted):
    good = [s for s in settings if s[2] >= wanted] or settings
    return min(good, key=lambda s: _cost(num_keys, s))[:2]


def choose_closest(settings, num_keys, wanted):
    return sorted(settings, key=lambda s: abs(wanted - s[2]))[0][:2]


def choose_strictly(settings, num_keys, wanted):
    good = [s for s in settings if s[2] > wanted]
    if not good:
        high = max(s[2] for s in settings)
        good = [s for s in settings if s[2] == high]
    return min(good, key=lambda s: _cost(num_keys, s))[:2]


def choose_with_recall(settings, num_keys, wanted):
    high = max(s[2] for s in settings)
    good = [s for s in settings if s[2] >= min(wanted, high)]
    return min(good, key=lambda s: _cost(num_keys, s))


WRONG = {
    "14.pca": (
        Wrong(pca_uncentered, "not centered"),
        Wrong(pca_smallest_of_svd, "least variance"),
        Wrong(pca_columns, "columns of Vh"),
        Wrong(pca_left, "left singular"),
        Wrong(pca_signs, "fixed_signs"),
        Wrong(pca_standardized, "standard deviation"),
        Wrong(pca_eigh_as_it_comes, "smallest eigenvalue first"),
        Wrong(pca_eigh_last, "turned around"),
        Wrong(pca_only_components, "is wanted"),
        Wrong(pca_in_place, "in place"),
    ),
    "14.nearest": (
        Wrong(nearest_all_at_once, "one block of keys at a time"),
        Wrong(nearest_differences, "one block of keys at a time"),
        Wrong(nearest_roots, "without the root"),
        Wrong(nearest_no_offset, "start of each block"),
        Wrong(nearest_forgets, "last block"),
        Wrong(nearest_largest, "farthest"),
        Wrong(nearest_no_norms, r"\|k\|\^2 is missing"),
        Wrong(nearest_unclamped, "clamp"),
        Wrong(nearest_places_of_the_joined_row, "joined row"),
        Wrong(nearest_swapped, "dtype"),
    ),
    "14.expert_among": (
        Wrong(among_as_they_are, "not undone"),
        Wrong(among_forward, "once more"),
        Wrong(among_each, "stands alone"),
        Wrong(among_counts, "are counted"),
        Wrong(among_rate, "share of the neighbors"),
        Wrong(among_everyone, "all K neighbors"),
        Wrong(among_wrong_axis, "along a row"),
        Wrong(among_mean, "shape"),
        Wrong(among_bools, "dtype"),
    ),
    "14.recall": (
        Wrong(recall_same_place, "Place by place"),
        Wrong(recall_with_padding, "Padding is counted"),
        Wrong(recall_as_precision, "precision"),
        Wrong(recall_finds_padding, "counts as found"),
        Wrong(recall_other_axis, "over the true ids"),
        Wrong(recall_mean_of_rows, "mean of the rows"),
        Wrong(recall_of_rows, "one neighbor is found"),
        Wrong(recall_tensor, "Python float"),
    ),
    "14.choose_lists": (
        Wrong(choose_ignoring_recall, "not looked at"),
        Wrong(choose_most_recall, "at any cost"),
        Wrong(choose_without_centers, "centers are not counted"),
        Wrong(choose_fails, "ValueError"),
        Wrong(choose_first_best, "several may have the highest"),
        Wrong(choose_cheap_fallback, "cheapest of all is returned"),
        Wrong(choose_closest, "closest"),
        Wrong(choose_strictly, ">="),
        Wrong(choose_nothing, "no setting reaches"),
        Wrong(choose_with_recall, "parts"),
    ),
}
