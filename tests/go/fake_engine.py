"""A GTP engine that misbehaves as told: `python fake_engine.py WAY`."""

import sys
import time

way = sys.argv[1]
for line in sys.stdin:
    command = line.split()[0]
    if command == "genmove":
        if way == "slow":
            time.sleep(30)
        if way == "dies":
            print("out of stones", file=sys.stderr)
            sys.exit(3)
        answer = {"nonsense": "Z99", "resigns": "resign", "chatty": "\n\nA1", "refuses": None}
        move = answer.get(way, "A1")
        print("? cannot think\n" if move is None else f"= {move}\n", flush=True)
    elif command == "quit":
        print("=\n", flush=True)
        break
    else:
        words = {"name": "Fake", "version": way, "final_score": "W+5.5"}.get(command, "")
        print(f"= {words}\n", flush=True)
