"""What the matches of `go_play` say: scores, intervals, curves, a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlcourse.experiments.go_growth import KINDS, games_of, read_rows
from rlcourse.experiments.go_met import read_met
from rlcourse.experiments.go_play_config import Config, Pairing
from rlcourse.experiments.go_play_world import BASELINE, num_neighbors
from rlcourse.experiments.reference import Curve
from rlcourse.go.arena import elo_difference, wilson_interval
from rlcourse.go.records import Game
from rlcourse.run.evaluate import interval
from rlcourse.run.record import load_config, load_metrics

MET = "met.rows"
MATCHES = ("before", "after")  # of the database that grows


class Result(NamedTuple):
    """What a finished run says of R seeds and P pairs of games."""

    config: Config
    scores: dict[Pairing, np.ndarray]  # [R, P] of the agent, 0 to 1: the mean over both games
    operations: dict[Pairing, np.ndarray]  # [2] of a move: of the model, of the keys of its query
    growth: dict[str, np.ndarray]  # [R, P] scores of the second match, "before" and "after"
    met: dict[str, list[np.ndarray]]  # rows of each seed: `KINDS`, "play_before", "play_after"


def load(folder: Path) -> Result:
    """Reads a finished run.

    Raises:
        FileNotFoundError: it has not been run.
        ValueError: it was interrupted, run the experiment again to go on; or it is of another
            version.
    """
    if not (folder / "config.json").exists():
        raise FileNotFoundError(f"no run in {folder}: run the experiment first")
    kept = load_config(folder)
    try:
        config = Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in kept.items()})
    except TypeError as error:
        raise ValueError(
            f"the run in {folder} is of another version ({error}): run it anew in another folder"
        ) from error
    seeds = [folder / f"seed_{number}" for number in range(config.num_seeds)]
    pairings = config.matches()
    for place in seeds:
        done = [_num_rows(place), _num_rows(place / "growth")]
        if done != [len(pairings), 1]:
            raise ValueError(f"the run in {folder} was interrupted: run it again, it goes on there")
    metrics = load_metrics(seeds[0])
    costs = np.stack([metrics["operations"], metrics["operations_keys"]], 1)
    scores = {pairing: _scores([place / pairing.name for place in seeds]) for pairing in pairings}
    growth = {name: _scores([place / "growth" / name for place in seeds]) for name in MATCHES}
    met = {
        kind: [read_rows(place / "growth" / f"{kind}.rows") for place in seeds] for kind in KINDS
    }
    for name in MATCHES:
        places = [place / "growth" / name for place in seeds]
        met[f"play_{name}"] = [read_met(place / MET, games_of(place)) for place in places]
    return Result(config, scores, dict(zip(pairings, costs, strict=True)), growth, met)


def pair_scores(games: Sequence[Game]) -> np.ndarray:
    """[P] of the first player, who is black in games of even number: the mean of both games of a
    pair; a win is 1, a draw 1/2."""
    signs = [game.margin * (1 if game.number % 2 == 0 else -1) for game in sorted(games)]
    return (np.sign(signs).reshape(-1, 2).mean(1) + 1) / 2


def _scores(folders: Sequence[Path]) -> np.ndarray:
    return np.stack([pair_scores(games_of(folder)) for folder in folders])


def _num_rows(folder: Path) -> int:
    return len(load_metrics(folder)["step"]) if (folder / "metrics.jsonl").exists() else 0


def win_rate(scores: np.ndarray) -> tuple[float, float, float]:
    """The mean of scores [R, P] of pairs, with Wilson's interval over their games."""
    num_games = 2 * scores.size
    return wilson_interval(float(2 * scores.sum()), num_games)


def gain(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """The mean difference of scores [R, P] with its 95 % interval, bootstrapped over the pairs,
    whose openings both have played."""
    found = interval((ours - theirs).ravel())
    return float(found.mean), float(found.low), float(found.high)


def change(result: Result, kind: str) -> tuple[float, float, float]:
    """Of the mean distance of the same positions, after minus before, with its interval over games.

    Args:
        result: see `load`.
        kind: "test" or "met".
    """
    games = []
    pairs = zip(_apart(result, f"{kind}_before"), _apart(result, f"{kind}_after"), strict=True)
    for before, after in pairs:
        changed = after.copy()
        changed["distance"] -= before["distance"]
        games.append(game_means(changed))
    return _of_games(np.concatenate(games))


def distance(result: Result, kind: str) -> tuple[float, float, float]:
    """The mean distance over games, each the mean of its positions, with its interval over games.

    Args:
        result: see `load`.
        kind: of positions, a name in `Result.met`.
    """
    return _of_games(np.concatenate([game_means(part) for part in _apart(result, kind)]))


def _apart(result: Result, kind: str) -> list[np.ndarray]:
    """Rows in parts whose games are not the same. Test games are those of all seeds."""
    rows = result.met[kind]
    return [np.concatenate(rows)] if kind.startswith("test") else rows


def by_ply(rows: Sequence[np.ndarray], width: int, num_bins: int) -> Curve:
    """Mean distance in bins of plies, with its interval bootstrapped over games; NaN where there
    is no position.

    Args:
        rows: of type `go_met.ROW`, in parts whose games are not the same.
        width, num_bins: the bins are [0, width), [width, 2 width) ...
    """
    means = [
        np.concatenate([game_means(part[part["ply"] // width == i]) for part in rows])
        for i in range(num_bins)
    ]
    found = [_of_games(games) for games in means]
    return _curve((np.arange(num_bins) + 0.5) * width, found)


def game_means(rows: np.ndarray) -> np.ndarray:
    """The mean distance in each game."""
    _, which = np.unique(rows["game"], return_inverse=True)
    counts = np.bincount(which)
    return np.bincount(which, weights=rows["distance"]) / counts


def reference_curves(folder: Path) -> dict[str, Curve]:
    """What is shipped; the labels do not depend on the settings.

    baseline, retrieval          win rate against simulations
    gain, gain/all               of retrieval over the baseline, by simulations, and their mean
    neighbors                    win rate against N, at the main number of simulations
    direct                       win rate of retrieval against the baseline, there
    operations/baseline, /retrieval, /neighbors    win rates against 10^6 operations of a move
    operations_model/...         the same without the operations of a query's keys
    grown, grown/gain            win rate with the database as it was (0) and as it is (1)
    distance/KIND                mean by kind of positions, at x = 0
    change/test, change/met      of the distance of the same positions, after minus before
    ply/KIND                     distances against plies, of some kinds
    """
    result = load(folder)
    config = result.config
    sides = {"baseline": BASELINE, "retrieval": config.retrieval}
    curves = {name: _rates(result, _ladder(config, variant)) for name, variant in sides.items()}
    ours, theirs = (_ladder(config, variant) for variant in (config.retrieval, BASELINE))
    gains = [gain(result.scores[a], result.scores[b]) for a, b in zip(ours, theirs, strict=True)]
    curves["gain"] = _curve(config.simulations, gains)
    curves["gain/all"] = _curve([0], [_gain_in_all(result)])
    others = _neighbors(config)
    curves["neighbors"] = _rates(result, others, [num_neighbors(p.variant) for p in others])
    curves["direct"] = _rates(result, [Pairing(config.retrieval, config.main, direct=True)])
    for name, pairings in (*zip(sides, (theirs, ours), strict=True), ("neighbors", others)):
        costs = np.array([result.operations[p] for p in pairings]) / 1e6  # [P, 2]
        curves[f"operations/{name}"] = _rates(result, pairings, costs.sum(1))
        curves[f"operations_model/{name}"] = _rates(result, pairings, costs[:, 0])
    curves["grown"] = _curve([0, 1], [win_rate(result.growth[name]) for name in MATCHES])
    curves["grown/gain"] = _curve([0], [gain(result.growth["after"], result.growth["before"])])
    for kind in result.met:
        curves[f"distance/{kind}"] = _curve([0], [distance(result, kind)])
    for kind in ("test", "met"):
        curves[f"change/{kind}"] = _curve([0], [change(result, kind)])
    for kind in ("test_before", "met_before", "met_after", "play_before", "play_after"):
        curves[f"ply/{kind}"] = by_ply(_apart(result, kind), config.bin_width, config.num_bins)
    return curves


def table(folder: Path) -> str:
    """Win rates with intervals, Elo, each seed's win rate, and the cost of a move; then what the
    growing database changes."""
    result = load(folder)
    config = result.config
    lines = [
        f"against {config.opponent}, {config.num_pairs} pairs a seed",
        f"{'agent':26}{'win rate':>9}{'interval':>15}{'Elo':>6}{'10^6 operations':>17}  seeds",
    ]
    for pairing, scores in result.scores.items():
        cost = result.operations[pairing] / 1e6
        counted = f"{cost[0]:.0f} + {cost[1]:.0f}"
        lines.append(f"{_words(pairing):26}{_rate_words(scores)}{counted:>17}  {_seeds(scores)}")
    lines += ["", f"{config.retrieval} minus baseline, paired by openings"]
    for a, b in zip(_ladder(config, config.retrieval), _ladder(config, BASELINE), strict=True):
        found = gain(result.scores[a], result.scores[b])
        lines.append(f"{f'{a.simulations} simulations':26}{_gain_words(found)}")
    lines.append(f"{'mean of these':26}{_gain_words(_gain_in_all(result))}")
    lines += ["", "the games added to the database, no training; other openings"]
    for name, scores in result.growth.items():
        lines.append(f"{name:26}{_rate_words(scores)}{'':17}  {_seeds(scores)}")
    found = gain(result.growth["after"], result.growth["before"])
    lines.append(f"{'after minus before':26}{_gain_words(found)}")
    lines += ["", f"{'nearest stored position':26}{'distance':>9}{'neighbors that were added':>27}"]
    for kind, rows in result.met.items():
        mean, added = distance(result, kind)[0], np.concatenate(rows)["added"].mean()
        lines.append(f"{kind.replace('_', ', '):26}{mean:>9.2f}{added:>27.1%}")
    for kind in ("test", "met"):
        mean, low, high = change(result, kind)
        lines.append(f"{f'{kind}, after minus before':26}{mean:>9.2f} [{low:.2f}, {high:.2f}]")
    return "\n".join(lines)


def _ladder(config: Config, variant: str) -> list[Pairing]:
    return [Pairing(variant, number) for number in config.simulations]


def _gain_in_all(result: Result) -> tuple[float, float, float]:
    """Of retrieval over the baseline, by the means of a pair's games with all simulations."""
    config = result.config
    ours, theirs = (
        np.mean([result.scores[pairing] for pairing in _ladder(config, variant)], axis=0)
        for variant in (config.retrieval, BASELINE)
    )
    return gain(ours, theirs)


def _neighbors(config: Config) -> list[Pairing]:
    """The variants at the main number of simulations, by N."""
    return [Pairing(v, config.main) for v in sorted(config.variants, key=num_neighbors)]


def _rates(result: Result, pairings: Sequence[Pairing], x: Sequence[float] | None = None) -> Curve:
    places = [pairing.simulations for pairing in pairings] if x is None else x
    return _curve(places, [win_rate(result.scores[pairing]) for pairing in pairings])


def _curve(x: Sequence[float] | np.ndarray, found: Sequence[tuple[float, float, float]]) -> Curve:
    return Curve(np.asarray(x, dtype=float), *np.array(found, dtype=float).T)


def _of_games(means: np.ndarray) -> tuple[float, float, float]:
    if not len(means):
        return (np.nan, np.nan, np.nan)
    found = interval(means)
    return float(found.mean), float(found.low), float(found.high)


def _words(pairing: Pairing) -> str:
    if pairing.direct:
        return f"{pairing.variant}, {pairing.simulations}, on baseline"
    return f"{pairing.variant}, {pairing.simulations} simulations"


def _rate_words(scores: np.ndarray) -> str:
    mean, low, high = win_rate(scores)
    return f"{mean:>9.1%}{f'{low:.1%}-{high:.1%}':>15}{elo_difference(mean):>+6.0f}"


def _gain_words(found: tuple[float, float, float]) -> str:
    mean, low, high = (100 * part for part in found)
    return f"{mean:>+8.1f} points [{low:+.1f}, {high:+.1f}]"


def _seeds(scores: np.ndarray) -> str:
    return " ".join(f"{score:.0%}" for score in scores.mean(1))
