"""Games as files: compact, append-only, checked.

A file of games begins with a line of JSON: the format, the board's size, the komi, and whatever the
maker wants to say. Then one record a game, in the order of arrival:

    number   uint32   of the game, unique in its collection
    margin   int16    twice the points of black minus those of white, komi included
    flags    uint8    bit 0: the loser resigned; bit 1: the players count another score
    opening  uint8    number of moves at the start that no player chose
    length   uint16   number of moves
    moves    length bytes (uint8), or 2 length (uint16, boards over 15x15); see `notation`
    crc      uint32   of the record up to here

All numbers are little-endian. An append that was interrupted leaves a part of a record at the end:
it is cut off at the next append, and left out by reading. Any other damage is an error that names
the place.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlcourse.data.files import write_whole
from rlcourse.go.rules import MAX_SIZE

FORMAT = "rlcourse games 1"
_HEAD = struct.Struct("<IhBBH")
_CRC = struct.Struct("<I")
_RESIGNED, _DISPUTED = 1, 2


class Game(NamedTuple):
    """One game."""

    number: int
    moves: tuple[int, ...]
    margin: float  # points of black minus those of white; a multiple of 1/2
    resigned: bool = False
    opening: int = 0  # moves at the start that no player chose, as random stones are
    disputed: bool = False  # the players count another score than the area on the board


@dataclass(frozen=True)
class GameFile:
    """A file of games that exists. Make one with `create`."""

    path: Path
    size: int
    komi: float
    about: Mapping[str, Any]  # what the maker said
    start: int  # of the first record, in bytes

    @classmethod
    def create(cls, path: Path, size: int, komi: float, about: Mapping[str, Any]) -> "GameFile":
        """A new file without games.

        Raises:
            FileExistsError: there is a file already.
            ValueError: for a size that no board has.
        """
        if not 2 <= size <= MAX_SIZE:
            raise ValueError(f"size must lie in [2, {MAX_SIZE}], got {size}")
        if path.exists():
            raise FileExistsError(f"{path} exists: open it, or choose another name")
        header = {"format": FORMAT, "size": size, "komi": komi, **about}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, (json.dumps(header, sort_keys=True) + "\n").encode())
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> "GameFile":
        """Reads the header.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no file of games.
        """
        with path.open("rb") as file:
            line = file.readline(1 << 16)
        try:
            header = json.loads(line)
            if header.pop("format") != FORMAT:
                raise ValueError
            size, komi = int(header.pop("size")), float(header.pop("komi"))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path} is no file of games: its first line should say so") from None
        return cls(path, size, komi, header, len(line))

    @classmethod
    def open_or_create(
        cls, path: Path, size: int, komi: float, about: Mapping[str, Any]
    ) -> "GameFile":
        """The file, made if there is none.

        Raises:
            ValueError: it was made with another size or komi, or says something else about itself.
        """
        if not path.exists():
            return cls.create(path, size, komi, about)
        file = cls.open(path)
        found = {"size": file.size, "komi": file.komi, **file.about}
        wanted = {"size": size, "komi": komi, **json.loads(json.dumps(about))}
        if found != wanted:
            raise ValueError(
                f"{path} was made with {found}, not with {wanted}: choose another folder"
            )
        return file

    def append(self, games: Iterable[Game]) -> None:
        """Adds games at the end and makes sure that they are on the disk.

        Raises:
            ValueError: for a game that does not fit the format, or a file that is no longer the one
                that was opened; none is added then.
        """
        records = b"".join(self._record(game) for game in games)
        if GameFile.open(self.path) != self:
            raise ValueError(f"{self.path} was replaced since it was opened: open it again")
        end = self.start + self._intact_bytes()
        with self.path.open("r+b") as file:
            file.truncate(end)
            file.seek(end)
            file.write(records)
            file.flush()
            os.fsync(file.fileno())

    def __iter__(self) -> Iterator[Game]:
        """The games, in the order of arrival.

        Raises:
            ValueError: a record is damaged.
        """
        content = self._records()
        for begin, moves_end, _ in self._spans(content):
            number, margin, flags, opening, _ = _HEAD.unpack_from(content, begin)
            moves = np.frombuffer(content[begin + _HEAD.size : moves_end], self._move_type)
            resigned, disputed = bool(flags & _RESIGNED), bool(flags & _DISPUTED)
            yield Game(number, tuple(moves.tolist()), margin / 2, resigned, opening, disputed)

    def numbers(self) -> set[int]:
        """The numbers of all games."""
        return {game.number for game in self}

    @property
    def _move_type(self) -> str:
        return "<u1" if self.size <= 15 else "<u2"

    def _record(self, game: Game) -> bytes:
        doubled, last = 2 * game.margin, self.size**2
        if doubled != round(doubled) or abs(doubled) >= 1 << 15:
            raise ValueError(
                f"game {game.number}: the margin must be a multiple of 1/2, got {game.margin}"
            )
        if game.moves and not 0 <= min(game.moves) <= max(game.moves) <= last:
            raise ValueError(f"game {game.number}: moves must lie in [0, {last}]")
        if not 0 <= game.opening <= min(len(game.moves), 255):
            raise ValueError(f"game {game.number}: an opening of {game.opening} moves does not fit")
        if len(game.moves) >= 1 << 16 or not 0 <= game.number < 1 << 32:
            raise ValueError(f"game {game.number} of {len(game.moves)} moves does not fit")
        flags = _RESIGNED * game.resigned | _DISPUTED * game.disputed
        head = _HEAD.pack(game.number, round(doubled), flags, game.opening, len(game.moves))
        record = head + np.array(game.moves, self._move_type).tobytes()
        return record + _CRC.pack(zlib.crc32(record))

    def _records(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read()

    def _spans(self, content: bytes) -> Iterator[tuple[int, int, int]]:
        """Where each record begins, where its moves end, and where it ends."""
        begin, width = 0, np.dtype(self._move_type).itemsize
        while begin + _HEAD.size <= len(content):
            length = _HEAD.unpack_from(content, begin)[-1]
            moves_end = begin + _HEAD.size + width * length
            end = moves_end + _CRC.size
            if end > len(content):
                return  # an append that was interrupted
            if _CRC.unpack_from(content, moves_end)[0] != zlib.crc32(content[begin:moves_end]):
                raise ValueError(
                    f"{self.path} is damaged in the record at byte {self.start + begin}: restore"
                    " the file, or cut it off there to keep the games before"
                )
            yield begin, moves_end, end
            begin = end

    def _intact_bytes(self) -> int:
        return max((end for _, _, end in self._spans(self._records())), default=0)
