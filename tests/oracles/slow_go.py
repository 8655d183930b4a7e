"""Go, slowly and obviously: sets of points, flood fills, and a list of all earlier positions."""

BLACK, WHITE = 1, -1


class SlowGo:
    """One game. Points are numbers row * size + column; the pass is size^2."""

    def __init__(self, size: int, komi: float = 7.0, superko: bool = True) -> None:
        self.size, self.komi, self.superko = size, komi, superko
        self.board = [0] * size**2
        self.to_play, self.ko, self.passes, self.num_moves = BLACK, None, 0, 0
        self.seen = {tuple(self.board)}

    def beside(self, point: int) -> list[int]:
        row, column = divmod(point, self.size)
        around = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
        return [r * self.size + c for r, c in around if 0 <= r < self.size and 0 <= c < self.size]

    def group(self, board: list[int], point: int) -> tuple[set[int], set[int]]:
        """The points connected to `point` that look like it, and what else is beside them."""
        inside, border, todo = {point}, set(), [point]
        while todo:
            for near in self.beside(todo.pop()):
                if board[near] != board[point]:
                    border.add(near)
                elif near not in inside:
                    inside.add(near)
                    todo.append(near)
        return inside, border

    def liberties(self, board: list[int], point: int) -> set[int]:
        return {p for p in self.group(board, point)[1] if board[p] == 0}

    def after(self, point: int) -> tuple[list[int], set[int]]:
        """The board after a stone on an empty point, and the points that were taken."""
        board, taken = list(self.board), set()
        board[point] = self.to_play
        for near in self.beside(point):
            if board[near] == -self.to_play and not self.liberties(board, near):
                taken |= self.group(board, near)[0]
                for gone in self.group(board, near)[0]:
                    board[gone] = 0
        return board, taken

    def is_legal(self, move: int) -> bool:
        if self.is_over():
            return False
        if move == self.size**2:
            return True
        if self.board[move] != 0:
            return False
        board, _ = self.after(move)
        if not self.liberties(board, move):
            return False
        return tuple(board) not in self.seen if self.superko else move != self.ko

    def play(self, move: int) -> None:
        assert self.is_legal(move), move
        self.ko, self.num_moves = None, self.num_moves + 1
        if move == self.size**2:
            self.passes += 1
        else:
            self.passes = 0
            board, taken = self.after(move)
            lone = self.group(board, move)[0] == {move}
            if len(taken) == 1 and lone and len(self.liberties(board, move)) == 1:
                (self.ko,) = taken
            self.board = board
            self.seen.add(tuple(board))
        self.to_play = -self.to_play

    def is_over(self) -> bool:
        return self.passes == 2

    def score(self) -> float:
        total = 0
        for point, stone in enumerate(self.board):
            if stone:
                total += stone
            else:
                colors = {self.board[p] for p in self.group(self.board, point)[1]}
                total += colors.pop() if len(colors) == 1 else 0
        return total - self.komi
