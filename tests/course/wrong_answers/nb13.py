"""Wrong answers to the exercises of notebook 13, as a learner would write them."""

import torch

from rlcourse.go.flood import beside, marked
from tests.course.wrong_answers.wrong import Wrong


def flood_one_round(seeds, within):
    reached = torch.logical_and(seeds, within)
    return torch.logical_or(reached, torch.logical_and(beside(reached), within))


def flood_nine_rounds(seeds, within):
    reached = seeds & within
    for _ in range(within.shape[1] + within.shape[2]):
        reached |= beside(reached) & within
    return reached


def flood_forty_rounds(seeds, within):
    reached = seeds & within
    for _ in range(40):
        reached = reached | (beside(reached) & within)
    return reached


def flood_any_seed(seeds, within):
    reached = seeds
    while True:
        grown = reached | (beside(reached) & within)
        if bool((grown == reached).all()):
            return reached
        reached = grown


def flood_everywhere(seeds, within):
    reached = seeds & within
    for _ in range(within[0].numel()):
        reached = reached | beside(reached)
    return reached


def flood_endless(seeds, within):
    reached = seeds & within
    while True:
        grown = reached | (beside(reached) & within)
        if torch.equal(grown, reached):
            reached = grown


def flood_in_place(seeds, within):
    seeds &= within
    while True:
        before = seeds.clone()
        seeds |= beside(seeds) & within
        if torch.equal(before, seeds):
            return seeds


def _chain(stones, point):
    reached = marked(point, stones)
    color = (stones * reached).sum((1, 2))[:, None, None]
    reached = reached & (stones != 0)
    for _ in range(stones[0].numel()):
        reached = reached | (beside(reached) & (stones == color) & (stones != 0))
    return reached


def liberties_of_one_stone(stones, point):
    height, width = stones.shape[1:]
    found = torch.zeros(len(stones), dtype=torch.int64)
    for board, at in enumerate(point.tolist()):
        row, column = divmod(at, width)
        near = (row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)
        for r, c in near:
            inside = 0 <= r < height and 0 <= c < width
            if stones[board, row, column] != 0 and inside and stones[board, r, c] == 0:
                found[board] += 1
    return found


def liberties_counted_twice(stones, point):
    chain = _chain(stones, point).int()
    down, right = torch.zeros_like(chain), torch.zeros_like(chain)
    down[:, 1:], right[:, :, 1:] = chain[:, :-1], chain[:, :, :-1]
    up, left = torch.zeros_like(chain), torch.zeros_like(chain)
    up[:, :-1], left[:, :, :-1] = chain[:, 1:], chain[:, :, 1:]
    return ((up + down + left + right) * (stones == 0)).sum((1, 2))


def liberties_with_enemies(stones, point):
    chain = _chain(stones, point)
    return (beside(chain) & torch.logical_not(chain)).sum(dim=(1, 2))


def liberties_of_the_batch(stones, point):
    total = (beside(_chain(stones, point)) & (stones == 0)).sum()
    return torch.stack([total] * len(stones))


def liberties_as_mask(stones, point):
    return beside(_chain(stones, point)) & (stones == 0)


def liberties_of_the_color(stones, point):
    color = stones.flatten(1).gather(1, point[:, None]).squeeze(1)
    own = (stones == color[:, None, None]) & (stones != 0)
    return (beside(own) & (stones == 0)).sum((1, 2))


def liberties_of_nothing(stones, point):
    color = stones.flatten(1).gather(1, point[:, None])[:, :, None]
    reached = marked(point, stones)
    for _ in range(stones[0].numel()):
        reached = reached | (beside(reached) & (stones == color))
    return (beside(reached) & (stones == 0)).sum((1, 2))


def _alive(stones, side):
    own = stones == side[:, None, None]
    reached = own & beside(stones == 0)
    for _ in range(stones[0].numel()):
        reached = reached | (beside(reached) & own)
    return reached


def _play(stones, color, point, ko, rule):
    start = marked(point, stones)
    new = torch.where(start, color[:, None, None].to(stones.dtype), stones)
    taken = (new == -color[:, None, None]) & ~_alive(new, -color)
    if rule == "takes nothing":
        taken = taken & False
    chain = _chain(new, point)
    if rule == "own first":
        free = (beside(chain) & (new == 0)).sum((1, 2))
    new = torch.where(taken, torch.zeros_like(new), new)
    if rule != "own first":
        free = (beside(chain) & (new == 0)).sum((1, 2))
    legal = (stones.flatten(1).gather(1, point[:, None])[:, 0] == 0) & (point != ko)
    if rule == "overwrites":
        legal = point != ko
    if rule == "forgets ko":
        legal = stones.flatten(1).gather(1, point[:, None])[:, 0] == 0
    if rule != "suicide":
        legal = legal & (free > 0)
    makes_ko = (taken.sum((1, 2)) == 1) & (free == 1)
    if rule != "snapback is ko":
        makes_ko = makes_ko & (chain.sum((1, 2)) == 1)
    if rule == "any single capture":
        makes_ko = (taken.sum((1, 2)) == 1) & (chain.sum((1, 2)) == 1)
    where = point if rule == "own point" else taken.flatten(1).int().argmax(1)
    next_ko = torch.where(makes_ko, where, -1)
    if rule == "never reports":
        next_ko = torch.full_like(ko, -1)
    if rule == "plays anyway":
        return new, legal, next_ko
    return torch.where(legal[:, None, None], new, stones), legal, torch.where(legal, next_ko, ko)


def _player(rule):
    def answer(stones, color, point, ko):
        return _play(stones, color, point, ko, rule)

    answer.__name__ = "play_" + rule.replace(" ", "_")
    return answer


def play_two_results(stones, color, point, ko):
    return _play(stones, color, point, ko, "")[:2]


def play_in_place(stones, color, point, ko):
    new, legal, next_ko = _play(stones, color, point, ko, "")
    stones.copy_(new)
    return stones, legal, next_ko


def _reach(stones, color):
    empty = stones == 0
    reached = beside(stones == color) & empty
    for _ in range(stones[0].numel()):
        reached = reached | (beside(reached) & empty)
    return reached


def score_plus_komi(stones, komi):
    owned = stones + _reach(stones, 1).int() - _reach(stones, -1).int()
    return owned.sum((1, 2)).float() + komi


def score_of_territory(stones, komi):
    return (_reach(stones, 1).int() - _reach(stones, -1).int()).sum((1, 2)).float() - komi


def score_of_stones(stones, komi):
    return stones.sum((1, 2)).float() - komi


def score_with_seeds_outside(stones, komi):
    empty = stones == 0
    black, white = ((stones == color) & empty for color in (1, -1))
    for _ in range(stones[0].numel()):
        black, white = black | (beside(black) & empty), white | (beside(white) & empty)
    return (stones + black.int() - white.int()).sum((1, 2)).float() - komi


def score_for_white(stones, komi):
    owned = stones + _reach(stones, 1).int() - _reach(stones, -1).int()
    return komi - owned.sum((1, 2)).float()


def score_of_the_batch(stones, komi):
    owned = stones + _reach(stones, 1).int() - _reach(stones, -1).int()
    return torch.full((len(stones),), float(owned.sum()) - komi)


def score_black_takes_all_it_reaches(stones, komi):
    black, white = _reach(stones, 1), _reach(stones, -1)
    owned = stones + torch.where(black, 1, torch.where(white, -1, 0))
    return owned.sum((1, 2)).float() - komi


def score_in_integers(stones, komi):
    owned = stones + _reach(stones, 1).int() - _reach(stones, -1).int()
    return owned.sum((1, 2)) - int(komi)


def _read(answer, size, letters="ABCDEFGHJKLMNOPQRSTUVWXYZ", lower=False):
    sign, rest = answer[0], answer[1:].split()
    if rest and rest[0].isdigit():
        rest = rest[1:]
    if sign == "?":
        return None, None, " ".join(rest)
    word = rest[0] if lower else rest[0].upper()
    if word in ("PASS", "RESIGN"):
        return word, None, ""
    return letters.index(word[0]), int(word[1:]), ""


def _move(answer, size, place, **how):
    column, row, said = _read(answer, size, **how)
    if said or column is None:
        return None, said
    if isinstance(column, str):
        return (size**2 if column == "PASS" else -1), ""
    return place(row, column), ""


def gtp_with_i(answer, size):
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return _move(answer, size, lambda row, col: (size - row) * size + col, letters=letters)


def gtp_rows_from_the_top(answer, size):
    return _move(answer, size, lambda row, col: (row - 1) * size + col)


def gtp_transposed(answer, size):
    return _move(answer, size, lambda row, col: col * size + size - row)


def gtp_one_row_off(answer, size):
    return _move(answer, size, lambda row, col: (size - row - 1) * size + col)


def gtp_case_matters(answer, size):
    return _move(answer, size, lambda row, col: (size - row) * size + col, lower=True)


def gtp_pass_is_nothing(answer, size):
    if "pass" in answer.lower():
        return None, ""
    return _move(answer, size, lambda row, col: (size - row) * size + col)


def gtp_keeps_the_number(answer, size):
    if answer[0] == "?":
        return None, answer[1:].strip()
    return _move(answer, size, lambda row, col: (size - row) * size + col)


def gtp_cuts_off_two_letters(answer, size):
    if answer[0] == "?":
        return None, answer[2:].strip()
    return _move(answer, size, lambda row, col: (size - row) * size + col)


def gtp_only_the_move(answer, size):
    return _move(answer, size, lambda row, col: (size - row) * size + col)[0]


WRONG = {
    "13.flood": (
        Wrong(flood_one_round, "one step of growing"),
        Wrong(flood_nine_rounds, "stops too early"),
        Wrong(flood_forty_rounds, "fixed number of steps"),
        Wrong(flood_any_seed, "outside of `within`"),
        Wrong(flood_everywhere, "through walls"),
        Wrong(flood_endless, "still running"),
        Wrong(flood_in_place, "in place"),
    ),
    "13.liberties": (
        Wrong(liberties_of_one_stone, "flood first"),
        Wrong(liberties_counted_twice, "counted twice"),
        Wrong(liberties_with_enemies, "only empty ones"),
        Wrong(liberties_of_the_batch, "whole batch"),
        Wrong(liberties_as_mask, "shape"),
        Wrong(liberties_of_nothing, "Where the point is empty"),
        Wrong(liberties_of_the_color, "only the chain"),
    ),
    "13.play": (
        Wrong(_player("takes nothing"), "Nothing is taken"),
        Wrong(_player("own first"), "before the opponent's stones are gone"),
        Wrong(_player("suicide"), "Suicide passes"),
        Wrong(_player("overwrites"), "on top of another"),
        Wrong(_player("forgets ko"), "not obeyed"),
        Wrong(_player("never reports"), "No ko is ever"),
        Wrong(_player("snapback is ko"), "joined a chain"),
        Wrong(_player("any single capture"), "other liberties"),
        Wrong(_player("own point"), "wrong point"),
        Wrong(_player("plays anyway"), "illegal move changes"),
        Wrong(play_two_results, "2 parts, 3 are wanted"),
        Wrong(play_in_place, "in place"),
    ),
    "13.area_score": (
        Wrong(score_plus_komi, "komi is White's"),
        Wrong(score_of_territory, "stones count too"),
        Wrong(score_of_stones, "Only stones"),
        Wrong(score_with_seeds_outside, r"start from beside\(stones == 1\)"),
        Wrong(score_for_white, "White's view"),
        Wrong(score_of_the_batch, "whole batch"),
        Wrong(score_black_takes_all_it_reaches, "nobody's"),
        Wrong(score_in_integers, "dtype"),
    ),
    "13.read_gtp": (
        Wrong(gtp_with_i, "letter I"),
        Wrong(gtp_rows_from_the_top, "from the bottom"),
        Wrong(gtp_transposed, "swapped"),
        Wrong(gtp_one_row_off, "one too small"),
        Wrong(gtp_case_matters, "ValueError"),
        Wrong(gtp_pass_is_nothing, "pass is the move"),
        Wrong(gtp_keeps_the_number, "number of the command"),
        Wrong(gtp_cuts_off_two_letters, "number of the command"),
        Wrong(gtp_only_the_move, "is wanted"),
    ),
}
