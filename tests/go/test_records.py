"""Games on disk: written, read, interrupted, damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlcourse.go.records import Game, GameFile
from rlcourse.go.splits import split_of

GAMES = [Game(0, (1, 2, 81), 3.5), Game(7, (), 0.0), Game(3, (80, 0), -12.0, True, 1, True)]


def make(folder, size=9):
    return GameFile.create(folder / "some.games", size, 7.5, {"engine": "nobody"})


def test_games_are_read_as_they_were_written(tmp_path):
    file = make(tmp_path)
    file.append(GAMES[:2])
    GameFile.open(file.path).append(GAMES[2:])
    again = GameFile.open(file.path)
    assert list(again) == GAMES
    assert again.numbers() == {0, 3, 7}
    assert (again.size, again.komi, again.about) == (9, 7.5, {"engine": "nobody"})


@given(st.lists(st.integers(0, 361), max_size=400), st.integers(-800, 800))
def test_any_game_on_the_largest_board_fits(tmp_path_factory, moves, doubled):
    file = make(tmp_path_factory.mktemp("games"), 19)
    game = Game(4_000_000_000, tuple(moves), doubled / 2)
    file.append([game])
    assert list(file) == [game]


def test_every_byte_of_an_interrupted_append_is_cut_off(tmp_path):
    file = make(tmp_path)
    file.append(GAMES[:1])
    intact = file.path.read_bytes()
    file.append(GAMES[1:])
    whole = file.path.read_bytes()
    second = len(intact) + 10 + 4  # a record without moves
    for end in range(len(intact), len(whole)):
        file.path.write_bytes(whole[:end])
        expected = GAMES[: 1 + (end >= second)]
        assert list(file) == expected
        file.append([Game(9, (5,), 1.0)])
        assert list(file) == [*expected, Game(9, (5,), 1.0)]


def test_damage_is_named_with_its_place(tmp_path):
    file = make(tmp_path)
    file.append(GAMES)
    content = bytearray(file.path.read_bytes())
    content[file.start + 10] ^= 1
    file.path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"damaged in the record at byte {file.start}"):
        list(file)
    with pytest.raises(ValueError, match="damaged"):
        file.append(GAMES)
    assert file.path.read_bytes() == bytes(content)


def test_what_does_not_fit_is_refused_and_nothing_is_written(tmp_path):
    file = make(tmp_path)
    before = file.path.read_bytes()
    for bad, says in (
        (Game(1, (82,), 0.0), r"moves must lie in \[0, 81\]"),
        (Game(1, (-1,), 0.0), "moves must lie"),
        (Game(1, (), 0.25), "multiple of 1/2"),
        (Game(-1, (), 0.5), "does not fit"),
        (Game(1, (3,), 0.5, opening=2), "an opening of 2 moves does not fit"),
    ):
        with pytest.raises(ValueError, match=says):
            file.append([GAMES[0], bad])
    assert file.path.read_bytes() == before
    with pytest.raises(FileExistsError, match="open it"):
        make(tmp_path)
    (tmp_path / "other").write_text("hello")
    with pytest.raises(ValueError, match="no file of games"):
        GameFile.open(tmp_path / "other")


def test_a_file_that_was_replaced_is_not_written_to(tmp_path):
    file = make(tmp_path)
    file.path.unlink()
    GameFile.create(file.path, 9, 7.5, {"engine": "somebody else"})
    with pytest.raises(ValueError, match="was replaced since it was opened"):
        file.append(GAMES)
    assert list(GameFile.open(file.path)) == []


def test_splits_are_by_game_and_of_known_size():
    splits = [split_of(number) for number in range(1_000)]
    assert [splits.count(name) for name in ("train", "retrieval", "test")] == [500, 400, 100]
