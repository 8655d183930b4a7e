"""The compiled engine leaves torch's number of threads alone, whichever call starts numba's."""

import os
import subprocess
import sys

PROGRAM = """
import os, torch
torch.set_num_threads(1)
from rlcourse.go.board import Go
from rlcourse.go.rules import Rules
go = Go(Rules(5))
state = go.new(100)
calls = {
    "step_": lambda: go.step_(state, torch.zeros(100, dtype=torch.long)),
    "planes": lambda: go.planes(state),
    "area": lambda: go.area(state),
    "random_games_": lambda: go.random_games_(state, 9, 0),
}
for name, call in calls.items():
    child = os.fork()  # numba starts its threads once in a process
    if child == 0:
        call()
        os._exit(torch.get_num_threads())
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_torch_keeps_its_number_of_threads():
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = dict(line.split() for line in done.stdout.splitlines())
    assert found == dict.fromkeys(("step_", "planes", "area", "random_games_"), "1")
