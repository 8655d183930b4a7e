"""A GTP engine that misbehaves as told: `python fake_engine.py WAY`."""

import sys
import time

way = version = sys.argv[1]
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
    elif command in ("set_random_seed", "clear_cache") and way != "seeded":
        print("? unknown command\n", flush=True)
    else:
        if command == "set_random_seed":
            version = line.split()[1]
        words = {"name": "Fake", "version": version, "final_score": "W+5.5"}
        words["known_command"] = str(way == "seeded").lower()
        print(f"= {words.get(command, '')}\n", flush=True)
