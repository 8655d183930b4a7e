"""Plausible wrong answers to the exercises of notebook 13, by which a check names the mistake."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from rlcourse.course.grading import Mistake
from rlcourse.go.flood import area_score, beside, flood, marked, play
from rlcourse.go.notation import COLUMNS, RESIGN


def flood_once(seeds: Tensor, within: Tensor) -> Tensor:
    reached = seeds & within
    return reached | (beside(reached) & within)


def flood_as_long_as_a_side(seeds: Tensor, within: Tensor) -> Tensor:
    reached = seeds & within
    for _ in range(2 * within.shape[-1]):
        reached = reached | (beside(reached) & within)
    return reached


def flood_forgets_the_first(seeds: Tensor, within: Tensor) -> Tensor:
    return flood(seeds, within) & ~seeds


def flood_from_outside(seeds: Tensor, within: Tensor) -> Tensor:
    return flood(beside(seeds) | seeds, within) | seeds


def flood_without_walls(seeds: Tensor, within: Tensor) -> Tensor:
    return flood(seeds, torch.ones_like(within))


def flood_without_walls_from_inside(seeds: Tensor, within: Tensor) -> Tensor:
    return flood(seeds & within, torch.ones_like(within))


def flood_all(seeds: Tensor, within: Tensor) -> Tensor:
    return within.clone()


def liberties_of_the_stone(stones: Tensor, point: Tensor) -> Tensor:
    start = marked(point, stones) & (stones != 0)
    return (beside(start) & (stones == 0)).sum((1, 2))


def liberties_per_stone(stones: Tensor, point: Tensor) -> Tensor:
    """Each pair of a stone and an empty point counts."""
    wide = pad(_chain(stones, point).int(), (1, 1, 1, 1))
    seen = wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1] + wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:]
    return (seen * (stones == 0)).sum((1, 2))


def liberties_of_both_colors(stones: Tensor, point: Tensor) -> Tensor:
    chain = flood(marked(point, stones), stones != 0)
    return (beside(chain) & (stones == 0)).sum((1, 2))


def liberties_or_enemies(stones: Tensor, point: Tensor) -> Tensor:
    chain = _chain(stones, point)
    return (beside(chain) & ~chain).sum((1, 2))


def liberties_everywhere(stones: Tensor, point: Tensor) -> Tensor:
    return (beside(_chain(stones, point)) & (stones == 0)).sum().expand(len(stones)).clone()


def liberties_of_all_own(stones: Tensor, point: Tensor) -> Tensor:
    color = (stones * marked(point, stones)).sum((1, 2))[:, None, None]
    return (beside((stones == color) & (stones != 0)) & (stones == 0)).sum((1, 2))


def stones_in_chain(stones: Tensor, point: Tensor) -> Tensor:
    return _chain(stones, point).sum((1, 2))


def _chain(stones: Tensor, point: Tensor) -> Tensor:
    start = marked(point, stones)
    color = (stones * start).sum((1, 2))[:, None, None]
    return flood(start, (stones == color) & (stones != 0))


def general_play(
    stones: Tensor,
    color: Tensor,
    point: Tensor,
    ko: Tensor,
    *,
    take: bool = True,
    look_before: bool = False,
    ko_before: bool = False,
    suicide: bool = False,
    own_too: bool = False,
    occupied: bool = False,
    obey_ko: bool = True,
    many: bool = False,
    single: bool = True,
    tight: bool = True,
    ko_is_move: bool = False,
    keep: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """`flood.play` with one of its conditions changed."""
    start = marked(point, stones)
    new = torch.where(start, color[:, None, None].to(stones.dtype), stones)
    own, other = (new == side[:, None, None] for side in (color, -color))
    taken = other & ~flood(other & beside(new == 0), other)
    if own_too:
        taken = taken | (own & ~flood(own & beside(new == 0), own))
    if not take:
        taken = torch.zeros_like(taken)
    chain = flood(start, own)
    free_before = (beside(chain) & (new == 0)).sum((1, 2))
    new = torch.where(taken, 0, new)
    free = (beside(chain) & (new == 0)).sum((1, 2))
    was_empty = (stones == 0).flatten(1).gather(1, point[:, None]).squeeze(1)
    legal = was_empty | occupied
    legal = legal & (((free_before if look_before else free) > 0) | suicide)
    legal = legal & ((point != ko) | (not obey_ko))
    number = taken.sum((1, 2))
    lone = (number >= 1) if many else (number == 1)
    room = free_before if ko_before else free
    lone = lone & ((chain.sum((1, 2)) == 1) | (not single)) & ((room == 1) | (not tight))
    captured = taken.flatten(1).int().argmax(1)
    next_ko = torch.where(lone, point if ko_is_move else captured, -1)
    if keep:
        new = torch.where(legal[:, None, None], new, stones)
        next_ko = torch.where(legal, next_ko, ko)
    return new, legal, next_ko


def play_with(**changed):
    """A wrong answer of `general_play`'s kind."""

    def wrong(stones, color, point, ko):
        return general_play(stones, color, point, ko, **changed)

    return wrong


def play_without_ko_after(stones, color, point, ko):
    new, legal, _ = play(stones, color, point, ko)
    return new, legal, torch.where(legal, -1, ko)


def territory_only(stones: Tensor, komi: float) -> Tensor:
    return area_score(stones, komi) - stones.sum((1, 2)).float()


def stones_only(stones: Tensor, komi: float) -> Tensor:
    return stones.sum((1, 2)).float() - komi


def neutral_for_black(stones: Tensor, komi: float) -> Tensor:
    """Empty points that both reach count for Black."""
    empty = stones == 0
    black, white = (flood(beside(stones == color), empty) for color in (1, -1))
    own = black.int() - (white & ~black).int()
    return (own.sum((1, 2)) + stones.sum((1, 2))).float() - komi


def only_beside(stones: Tensor, komi: float) -> Tensor:
    empty = stones == 0
    black, white = (beside(stones == color) & empty for color in (1, -1))
    return (black.int() - white.int() + stones).sum((1, 2)).float() - komi


def all_in_one(stones: Tensor, komi: float) -> Tensor:
    return (area_score(stones, 0.0).sum() - komi).expand(len(stones)).clone()


_WALLS = "It walks through walls: keep only points of `within` after each step"
_LOOKED_TOO_EARLY = (
    "Your own liberties are counted before the opponent's stones are gone: a move that takes has "
    "the points that it empties"
)

OF_FLOOD = (
    Mistake(
        "This is one step of growing: repeat it until the set is the same as before",
        flood_once,
    ),
    Mistake(
        "It stops too early: a set can wind through the board like a spiral, so stop when nothing "
        "changes, not after a fixed number of steps",
        flood_as_long_as_a_side,
    ),
    Mistake(
        "The seeds themselves are missing: they belong to what is reached",
        flood_forgets_the_first,
    ),
    Mistake(
        "Seeds outside of `within` count here, and they must not: start from seeds & within",
        flood_from_outside,
    ),
    Mistake(_WALLS, flood_without_walls),
    Mistake(_WALLS, flood_without_walls_from_inside),
    Mistake("This is all of `within`, whether or not a seed reaches it", flood_all),
)

OF_LIBERTIES = (
    Mistake(
        "These are the liberties of the one stone on `point`: stones of a chain share theirs, so "
        "flood first",
        liberties_of_the_stone,
    ),
    Mistake(
        "A liberty that two stones see is counted twice: mark the points beside the chain, then "
        "count the marked ones that are empty",
        liberties_per_stone,
    ),
    Mistake(
        "The flood runs over stones of both colors: a chain has one color",
        liberties_of_both_colors,
    ),
    Mistake(
        "Points beside the chain count here even where an opponent's stone lies: only empty ones "
        "are liberties",
        liberties_or_enemies,
    ),
    Mistake(
        "This is the sum over the whole batch: sum over the two axes of the board, (1, 2)",
        liberties_everywhere,
    ),
    Mistake(
        "These are the liberties of all stones of that color: only the chain on `point` counts",
        liberties_of_all_own,
    ),
    Mistake("These are the stones of the chain: count the empty points beside it", stones_in_chain),
)

OF_PLAY = (
    Mistake(
        "Nothing is taken: remove the opponent's chains that have no liberty left",
        play_with(take=False),
    ),
    Mistake(
        "Both colors are taken at the same time; the opponent's stones go first, and what they "
        "leave gives your own chain its liberties",
        play_with(own_too=True),
    ),
    Mistake(_LOOKED_TOO_EARLY, play_with(look_before=True)),
    Mistake(_LOOKED_TOO_EARLY, play_with(look_before=True, ko_before=True)),
    Mistake(
        "Suicide passes as legal: your chain needs a liberty after the captures",
        play_with(suicide=True),
    ),
    Mistake(
        "A stone may be put on top of another here: only an empty point is legal",
        play_with(occupied=True),
    ),
    Mistake(
        "The ko is not obeyed: a move on the point `ko` is illegal",
        play_with(obey_ko=False),
    ),
    Mistake(
        "No ko is ever reported: where a lone stone with one liberty took exactly one stone, "
        "return the point of that stone",
        play_without_ko_after,
    ),
    Mistake(
        "A ko is reported after taking several stones: taking back cannot repeat the board then, "
        "so ask for exactly one",
        play_with(many=True),
    ),
    Mistake(
        "A ko is reported though your stone joined a chain: taking that back would take several "
        "stones (a snapback), so ask for a lone stone",
        play_with(single=False),
    ),
    Mistake(
        "A ko is reported though your stone has other liberties, so that it cannot be taken back "
        "at once: ask for exactly one liberty",
        play_with(tight=False),
    ),
    Mistake(
        "The ko is on the wrong point: forbidden is where the taken stone was, not where yours is",
        play_with(ko_is_move=True),
    ),
    Mistake(
        "An illegal move changes the board or the ko: return both as they came where `legal` is "
        "False",
        play_with(keep=False),
    ),
)

OF_SCORE = (
    Mistake("The komi is White's: subtract it from Black's score", lambda s, k: area_score(s, -k)),
    Mistake("The komi is missing: subtract it", lambda s, k: area_score(s, 0.0)),
    Mistake(
        "This is White's view: Black's points count plus, White's and the komi minus",
        lambda s, k: -area_score(s, k),
    ),
    Mistake(
        "The komi has the right sign and the points the wrong one: Black's are +1",
        lambda s, k: area_score(-s, k),
    ),
    Mistake("Only empty points are counted: under area scoring stones count too", territory_only),
    Mistake(
        "Only stones are counted: add the empty points that one color alone reaches", stones_only
    ),
    Mistake(
        "Empty points that both colors reach count for Black here: they are nobody's",
        neutral_for_black,
    ),
    Mistake(
        "Only empty points right beside a stone are counted: an empty region belongs to the color "
        "around it as a whole, so flood it",
        only_beside,
    ),
    Mistake(
        "This is one score for the whole batch: sum over the two axes of the board, (1, 2)",
        all_in_one,
    ),
)


def read(answer: str, size: int, **changed) -> tuple[int | None, str]:
    """An answer to genmove, with one of the rules of reading it changed."""
    head, *words = answer.split()
    if head[0] == "?":
        return (None, " ".join([head[1:], *words]).strip() if "id" in changed else " ".join(words))
    vertex = words[0].upper()
    if vertex == "RESIGN":
        return changed.get("resign", RESIGN), ""
    if vertex == "PASS":
        return changed.get("passing", size**2), ""
    letters = changed.get("letters", COLUMNS)
    row = int(vertex[1:]) - 1 if "up" in changed else size - int(vertex[1:])
    column = letters.index(vertex[0])
    row += changed.get("below", 0)
    move = column * size + row if "swapped" in changed else row * size + column
    return move, ""


def read_with(**changed):
    """A wrong answer of `read`'s kind."""
    return lambda answer, size: read(answer, size, **changed)


OF_GTP = (
    Mistake(
        "The letter I counts as a column here, and GTP leaves it out: after H comes J",
        read_with(letters="ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    ),
    Mistake(
        "Rows are counted from the bottom in GTP and from the top in a move's number: A1 is the "
        "bottom left corner",
        read_with(up=True),
    ),
    Mistake(
        "Row and column are swapped: a move is row * size + column",
        read_with(swapped=True),
    ),
    Mistake(
        "The row is one too small: GTP's rows are numbered from 1, and row `size` is the "
        "top one, 0",
        read_with(below=-1),
    ),
    Mistake(
        "The row is one too large: GTP's rows are numbered from 1, and row `size` is the "
        "top one, 0",
        read_with(below=1),
    ),
    Mistake("A pass is the move size^2, not None", read_with(passing=None)),
    Mistake("A pass is the move size^2, one after the last point", read_with(passing=-1)),
    Mistake("To resign is RESIGN, -1, not None", read_with(resign=None)),
    Mistake(
        "The number of the command is left in the refusal: it stands right after the ?, without a "
        "space",
        read_with(id=True),
    ),
)
