"""Games in SGF: written and read back, and archives with everything that can be wrong in them."""

import pytest
import torch

from rlcourse.go.board import Go
from rlcourse.go.records import Game, GameFile
from rlcourse.go.rules import Rules
from rlcourse.go.sgf import RejectedGameError, import_archive, read_sgf, to_sgf

RULES = Rules(9, 7.5)


def random_game(number: int) -> Game:
    go, moves = Go(RULES), []
    state = go.new(1)
    generator = torch.Generator().manual_seed(number)
    while not bool(go.is_over(state)):
        move = torch.multinomial(state.legal.float(), 1, generator=generator).squeeze(1)
        go.step_(state, move)
        moves.append(int(move))
    return Game(number, tuple(moves), float(go.score(state)))


@pytest.mark.parametrize("number", range(5))
def test_a_game_is_read_as_it_was_written(number):
    game = random_game(number)
    content = to_sgf(game, 9, 7.5, "one", "another")
    assert read_sgf(content, RULES, number) == game
    assert b"PB[one]" in content
    resigned = Game(7, game.moves, -0.5, resigned=True)
    assert read_sgf(to_sgf(resigned, 9, 7.5), RULES, 7) == resigned


def sgf(body: str, head: str = "SZ[9]KM[7.5]RE[B+3.5]") -> bytes:
    return f"(;GM[1]FF[4]{head}{body})".encode()


BAD = {
    "not readable as SGF": b"hello",
    "another board size": sgf(";B[aa]", "SZ[13]KM[7.5]RE[B+1]"),
    "handicap or stones set up": sgf(";W[aa]", "SZ[9]KM[7.5]HA[2]AB[cc][gg]RE[B+1]"),
    "another komi": sgf(";B[aa]", "SZ[9]KM[5.5]RE[B+1]"),
    "variations": sgf(";B[aa](;W[bb])(;W[cc])"),
    "a bad coordinate": sgf(";B[zz]"),
    "the wrong color to move": sgf(";B[aa];B[bb]"),
    "no moves": sgf(""),
    "no result": sgf(";B[aa]", "SZ[9]KM[7.5]"),
    "an illegal move": sgf(";B[aa];W[aa]"),
    "moves after the end": sgf(";B[];W[];B[aa]"),
}


@pytest.mark.parametrize("reason", BAD)
def test_what_cannot_be_used_is_refused_with_its_reason(reason):
    with pytest.raises(RejectedGameError) as caught:
        read_sgf(BAD[reason], RULES, 0)
    assert caught.value.reason == reason


def test_no_handicap_may_be_said():
    """As GNU Go's twogtp writes it."""
    game = read_sgf(sgf(";B[aa]", "SZ[9]KM[7.5]HA[0]RE[B+3.5]"), RULES, 3)
    assert game.moves == (0,)


def test_an_archive_is_imported_with_a_report(tmp_path):
    games = [random_game(number) for number in range(3)]
    contents = [to_sgf(game, 9, 7.5) for game in (*games, games[1])] + list(BAD.values())
    paths = []
    for number, content in enumerate(contents):
        paths.append(tmp_path / f"{number:02}.sgf")
        paths[-1].write_bytes(content)
    file = GameFile.create(tmp_path / "all.games", 9, 7.5, {})
    file.append([Game(10, (0, 81, 81), 73.5)])
    report = import_archive(paths, file, RULES)
    assert report.num_kept == 3
    assert dict(report.rejected) == {"a game that is there already": 1} | dict.fromkeys(BAD, 1)
    assert "1 variations (first: 08.sgf, variations)" in str(report)
    assert [g.number for g in file] == [10, 11, 12, 13]
    assert [g.moves for g in file][1:] == [g.moves for g in games]
    assert import_archive(paths, file, RULES).num_kept == 0
    with pytest.raises(ValueError, match="make another file"):
        import_archive(paths, file, Rules(9, 5.5))
