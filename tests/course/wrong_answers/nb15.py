"""Wrong answers to the exercises of notebook 15, as a learner would write them."""

import math

import torch
from torch.nn.functional import cross_entropy

from rlcourse.go.inputs import NeighborInput
from rlcourse.ops.neighbors import nearest
from tests.course.wrong_answers.wrong import Wrong


def _there(embedded, present):
    return embedded.masked_fill(~present[:, :, None, None, None], 0.0)


def fuse_mean(encoded, embedded, present, num_neighbors):
    return torch.cat([encoded, _there(embedded, present).sum(1) / num_neighbors], 1)


def fuse_no_root(encoded, embedded, present, num_neighbors):
    return torch.cat([encoded, _there(embedded, present).sum(1)], 1)


def fuse_everyone(encoded, embedded, present, num_neighbors):
    return torch.cat([encoded, embedded.sum(1) / math.sqrt(num_neighbors)], 1)


def fuse_by_product(encoded, embedded, present, num_neighbors):
    total = (embedded * present[:, :, None, None, None]).sum(1)
    return torch.cat([encoded, total / math.sqrt(num_neighbors)], 1)


def fuse_neighbors_first(encoded, embedded, present, num_neighbors):
    return torch.cat([_there(embedded, present).sum(1) / math.sqrt(num_neighbors), encoded], 1)


def fuse_by_present(encoded, embedded, present, num_neighbors):
    number = present.sum(1).clamp(min=1).view(-1, 1, 1, 1)
    return torch.cat([encoded, _there(embedded, present).sum(1) / number.sqrt()], 1)


def fuse_added(encoded, embedded, present, num_neighbors):
    return encoded + _there(embedded, present).sum((1, 2))[:, None] / math.sqrt(num_neighbors)


def fuse_by_places(encoded, embedded, present, num_neighbors):
    total = _there(embedded, present).sum(1)
    return torch.cat([encoded, total / math.sqrt(embedded.shape[1])], 1)


def fuse_torch_mean(encoded, embedded, present, num_neighbors):
    return torch.cat([encoded, _there(embedded, present).mean(1)], 1)


def halves_by_row(keys, game, k):
    even = torch.arange(len(keys)) % 2 == 0
    found = torch.zeros(len(keys), k, dtype=torch.int64)
    for asking in (even, ~even):
        there = (~asking).nonzero()[:, 0]
        found[asking] = there[nearest(keys[asking], keys[there], k, 999)[1]]
    return found


def halves_own(keys, game, k):
    found = torch.zeros(len(keys), k, dtype=torch.int64)
    for half in (0, 1):
        own = (game % 2 == half).nonzero()[:, 0]
        found[own] = own[nearest(keys[own], keys[own], k, 999)[1]]
    return found


def halves_places(keys, game, k):
    found = torch.zeros(len(keys), k, dtype=torch.int64)
    for half in (0, 1):
        mine = game % 2 == half
        found[mine] = nearest(keys[mine], keys[~mine], k, 999)[1]
    return found


def halves_everything(keys, game, k):
    return nearest(keys, keys, k, 999)[1]


def halves_without_first(keys, game, k):
    return nearest(keys, keys, k + 1, 999)[1][:, 1:]


def halves_distances(keys, game, k):
    found = torch.zeros(len(keys), k, dtype=keys.dtype)
    for half in (0, 1):
        mine = game % 2 == half
        found[mine] = nearest(keys[mine], keys[~mine], k, 999)[0]
    return found


def halves_own_without_self(keys, game, k):
    found = torch.zeros(len(keys), k, dtype=torch.int64)
    for half in (0, 1):
        own = (game % 2 == half).nonzero()[:, 0]
        found[own] = own[nearest(keys[own], keys[own], k + 1, 999)[1]][:, 1:]
    return found


def halves_other_games(keys, game, k):
    found = []
    for key, own in zip(keys, game, strict=True):
        others = (game != own).nonzero()[:, 0]
        found.append(others[nearest(key[None], keys[others], k, 999)[1][0]])
    return torch.stack(found)


def _mixed(neighbors, chosen, giver):
    rows = torch.where(chosen, giver, torch.arange(len(giver)).unsqueeze(1))
    ranks = torch.arange(giver.shape[1])
    return NeighborInput(*(part[rows, ranks] for part in neighbors))


def exchange_all_shown(neighbors, game, chosen, giver):
    return _mixed(neighbors, chosen, giver)


def exchange_upside_down(neighbors, game, chosen, giver):
    mixed = _mixed(neighbors, ~chosen, giver)
    return mixed._replace(present=mixed.present & ~(~chosen & (mixed.game == game[:, None])))


def exchange_only_planes(neighbors, game, chosen, giver):
    mixed = _mixed(neighbors, chosen, giver)
    own = chosen & (mixed.game == game[:, None])
    return NeighborInput(mixed.planes, neighbors.present & ~own, mixed.game)


def exchange_every_one(neighbors, game, chosen, giver):
    mixed = _mixed(neighbors, torch.ones_like(chosen), giver)
    return mixed._replace(present=mixed.present & (mixed.game != game[:, None]))


def exchange_in_place(neighbors, game, chosen, giver):
    mixed = _mixed(neighbors, chosen, giver)
    neighbors.planes[:] = mixed.planes
    return mixed._replace(present=mixed.present & ~(chosen & (mixed.game == game[:, None])))


def exchange_asks_the_giver(neighbors, game, chosen, giver):
    mixed = _mixed(neighbors, chosen, giver)
    own = chosen & (game[giver] == game[:, None])
    return mixed._replace(present=mixed.present & ~own)


def exchange_keeps(neighbors, game, chosen, giver):
    theirs = neighbors.game[giver, torch.arange(giver.shape[1])]
    return _mixed(neighbors, chosen & (theirs != game[:, None]), giver)


def _losses(logits, value, next_moves, outcome, weights, alternate=True, late=1, masked=True):
    count = logits.shape[1]
    moves = next_moves[:, :count]
    there = moves >= 0
    reached = torch.nn.functional.pad(there, (late, 0), value=True)[:, :count]
    lost = -logits.log_softmax(2).gather(2, moves.clamp(min=0).unsqueeze(2)).squeeze(2)
    sign = torch.tensor([-1.0]) ** torch.arange(count) if alternate else 1.0
    error = (value - sign * outcome.unsqueeze(1)) ** 2
    if masked:
        lost, error = lost.masked_fill(~there, 0.0), error.masked_fill(~reached, 0.0)
    return lost * weights, error * weights


def losses_one_sign(logits, value, next_moves, outcome, weights):
    parts = _losses(logits, value, next_moves, outcome, weights, alternate=False)
    return tuple(part.sum(1).mean() for part in parts)


def losses_same_mask(logits, value, next_moves, outcome, weights):
    parts = _losses(logits, value, next_moves, outcome, weights, late=0)
    return tuple(part.sum(1).mean() for part in parts)


def losses_mean_of_all(logits, value, next_moves, outcome, weights):
    parts = _losses(logits, value, next_moves, outcome, weights)
    return tuple(part.mean() for part in parts)


def losses_no_weights(logits, value, next_moves, outcome, weights):
    parts = _losses(logits, value, next_moves, outcome, torch.ones_like(weights))
    return tuple(part.sum(1).mean() for part in parts)


def losses_unmasked(logits, value, next_moves, outcome, weights):
    parts = _losses(logits, value, next_moves, outcome, weights, masked=False)
    return tuple(part.sum(1).mean() for part in parts)


def _by_hand(logits, value, next_moves, outcome, weights, is_move, shift):
    moves = next_moves[:, : logits.shape[1]]
    there = is_move(moves)
    lost = -logits.log_softmax(2).gather(2, moves.clamp(min=0).unsqueeze(2)).squeeze(2)
    error = (value - (-1.0) ** torch.arange(moves.shape[1]) * outcome[:, None]).square()
    return lost * there * weights, error * shift(there) * weights, there


def _late(there):
    return torch.nn.functional.pad(there, (1, 0), value=True)[:, :-1]


def losses_of_positive_moves(*given):
    policy, error, _ = _by_hand(*given, lambda moves: moves > 0, _late)
    return policy.sum(1).mean(), error.sum(1).mean()


def losses_without_passes(*given):
    last = given[0].shape[2] - 1
    policy, error, _ = _by_hand(*given, lambda moves: (moves >= 0) & (moves < last), _late)
    return policy.sum(1).mean(), error.sum(1).mean()


def losses_early_values(*given):
    early = lambda there: torch.nn.functional.pad(there, (0, 1), value=True)[:, 1:]  # noqa: E731
    policy, error, _ = _by_hand(*given, lambda moves: moves >= 0, early)
    return policy.sum(1).mean(), error.sum(1).mean()


def losses_no_first_value(*given):
    late = lambda there: torch.nn.functional.pad(there, (1, 0))[:, :-1]  # noqa: E731
    policy, error, _ = _by_hand(*given, lambda moves: moves >= 0, late)
    return policy.sum(1).mean(), error.sum(1).mean()


def losses_positive_log(*given):
    policy, error, _ = _by_hand(*given, lambda moves: moves >= 0, _late)
    return -policy.sum(1).mean(), error.sum(1).mean()


def losses_mean_of_those_there(*given):
    policy, error, there = _by_hand(*given, lambda moves: moves >= 0, _late)
    return policy.sum() / there.sum(), error.sum() / _late(there).sum()


def losses_value_first(*given):
    policy, error, _ = _by_hand(*given, lambda moves: moves >= 0, _late)
    return error.sum(1).mean(), policy.sum(1).mean()


def losses_of_a_negative_move(logits, value, next_moves, outcome, weights):
    moves = next_moves[:, : logits.shape[1]]
    return cross_entropy(logits.flatten(0, 1), moves.flatten()), value.square().mean()


def losses_summed(logits, value, next_moves, outcome, weights):
    policy, error = _losses(logits, value, next_moves, outcome, weights)
    return (policy + error).sum(1).mean()


def _gain(change, count, drawn, ends=(0.025, 0.975)):
    means = change[drawn].sum(1) / count[drawn].sum(1)
    low, high = (means.quantile(end) for end in ends)
    return change.sum() / count.sum(), low, high


def gain_of_shares(with_, without, count, drawn):
    change = (with_ - without) / count
    means = change[drawn].mean(1)
    return change.mean(), means.quantile(0.025), means.quantile(0.975)


def gain_ninety(with_, without, count, drawn):
    return _gain(with_ - without, count, drawn, (0.05, 0.95))


def gain_backwards(with_, without, count, drawn):
    return _gain(without - with_, count, drawn)


def gain_by_total(with_, without, count, drawn):
    change = with_ - without
    means = change[drawn].sum(1) / count.sum()
    return change.sum() / count.sum(), means.quantile(0.025), means.quantile(0.975)


def gain_deviation(with_, without, count, drawn):
    change = with_ - without
    means = change[drawn].sum(1) / count[drawn].sum(1)
    mean = change.sum() / count.sum()
    return mean, mean - means.std(), mean + means.std()


def gain_normal(with_, without, count, drawn):
    mean, _, _ = _gain(with_ - without, count, drawn)
    means = (with_ - without)[drawn].sum(1) / count[drawn].sum(1)
    return mean, mean - 1.96 * means.std(), mean + 1.96 * means.std()


def gain_mean_of_draws(with_, without, count, drawn):
    _, low, high = _gain(with_ - without, count, drawn)
    return ((with_ - without)[drawn].sum(1) / count[drawn].sum(1)).mean(), low, high


def gain_per_game(with_, without, count, drawn):
    change = with_ - without
    means = change[drawn].mean(1)
    return change.mean(), means.quantile(0.025), means.quantile(0.975)


def gain_alone(with_, without, count, drawn):
    return (with_ - without).sum() / count.sum()


WRONG = {
    "15.fuse": (
        Wrong(fuse_mean, "square root of N, not by N"),
        Wrong(fuse_no_root, "not divided"),
        Wrong(fuse_everyone, "Absent neighbors are added"),
        Wrong(fuse_by_product, "NaN"),
        Wrong(fuse_neighbors_first, "wrong order"),
        Wrong(fuse_by_present, "number of neighbors present"),
        Wrong(fuse_added, "shape"),
        Wrong(fuse_by_places, "root of K"),
        Wrong(fuse_torch_mean, "K places"),
    ),
    "15.in_halves": (
        Wrong(halves_by_row, "made of positions"),
        Wrong(halves_own, "own half answers"),
        Wrong(halves_places, "places in the half"),
        Wrong(halves_everything, "finds itself"),
        Wrong(halves_without_first, "the same game"),
        Wrong(halves_distances, "dtype"),
        Wrong(halves_own_without_self, "own half answers, without the nearest"),
        Wrong(halves_other_games, "whole half"),
    ),
    "15.exchange": (
        Wrong(exchange_all_shown, "own game is shown"),
        Wrong(exchange_upside_down, "`chosen` is False"),
        Wrong(exchange_only_planes, "does not move along"),
        Wrong(exchange_every_one, "All neighbors are replaced"),
        Wrong(exchange_in_place, "in place"),
        Wrong(exchange_asks_the_giver, "game of the giver"),
        Wrong(exchange_keeps, "replace it, and make it absent"),
    ),
    "15.unrolled_losses": (
        Wrong(losses_one_sign, "sign of the outcome"),
        Wrong(losses_same_mask, "game is over is left out"),
        Wrong(losses_mean_of_all, "mean over the steps"),
        Wrong(losses_no_weights, "weights are not used"),
        Wrong(losses_unmasked, "Nothing is masked"),
        Wrong(losses_of_a_negative_move, "IndexError"),
        Wrong(losses_summed, "apart"),
        Wrong(losses_of_positive_moves, "Move 0"),
        Wrong(losses_without_passes, "A pass is taken"),
        Wrong(losses_early_values, "wrong way"),
        Wrong(losses_no_first_value, "value at k = 0 is left out"),
        Wrong(losses_positive_log, "wrong sign"),
        Wrong(losses_mean_of_those_there, "not masked"),
        Wrong(losses_value_first, "wrong order"),
    ),
    "15.gain": (
        Wrong(gain_of_shares, "counts alike"),
        Wrong(gain_ninety, "90% interval"),
        Wrong(gain_backwards, "sign is turned around"),
        Wrong(gain_by_total, "positions of all games"),
        Wrong(gain_deviation, "one standard deviation"),
        Wrong(gain_normal, "1.96 standard deviations"),
        Wrong(gain_mean_of_draws, "that of the resamples"),
        Wrong(gain_per_game, "sums per game"),
        Wrong(gain_alone, "tuple|is wanted"),
    ),
}
