import signal
import threading

import pytest
import torch

from rlcourse.envs.probes import probes
from rlcourse.envs.tabular_env import TabularEnv
from rlcourse.run.checkpoint import load_checkpoint
from rlcourse.run.loop import run_loop
from rlcourse.run.record import NonFiniteMetric, Record, load_metrics
from rlcourse.types import Agent, Environment, Step

NUM_ENVS = 3


class Counter:
    """An environment whose episodes last 2, 3 and 4 steps; each step pays its number."""

    num_envs = 3

    def __init__(self):
        self.age = torch.zeros(3, dtype=torch.int64)

    def reset(self):
        self.age = torch.zeros(3, dtype=torch.int64)
        return Step(self.age, torch.zeros(3), torch.ones(3), torch.ones(3, dtype=torch.bool))

    def step(self, action):
        is_first = self.age == torch.tensor([2, 3, 4])
        self.age = torch.where(is_first, 0, self.age + 1)
        terminated = self.age == torch.tensor([2, -1, 4])  # the second ends by a time limit
        return Step(self.age, self.age.float(), 1.0 - terminated.float(), is_first)

    def state_dict(self):
        return {"age": self.age}

    def load_state_dict(self, state):
        self.age = state["age"]


class Recorder:
    """An agent that remembers what it was given."""

    def __init__(self):
        self.seen = []

    def act(self, step):
        return torch.zeros(3, dtype=torch.int64)

    def update(self, transition, valid):
        self.seen.append((transition, valid))
        return {}

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Learner:
    """One table of action values per instance, acting at random with a generator of its own."""

    def __init__(self, num_states, seed=0, on_update=None):
        self.q = torch.zeros(NUM_ENVS, num_states, 2)
        self.generator = torch.Generator().manual_seed(seed)
        self.on_update = on_update or (lambda number: None)
        self.num_updates = 0

    def act(self, step):
        return torch.randint(2, (NUM_ENVS,), generator=self.generator)

    def update(self, transition, valid):
        self.num_updates += 1
        self.on_update(self.num_updates)
        rows = torch.arange(NUM_ENVS)
        next_value = self.q[rows, transition.next_obs].amax(-1)
        target = transition.reward + 0.9 * transition.discount * next_value
        at = (rows, transition.obs, transition.action)
        error = torch.where(valid, target - self.q[at], 0.0)
        self.q[at] += 0.1 * error
        return {"loss": error.square().mean(), "noise": torch.rand((), generator=self.generator)}

    def state_dict(self):
        return {
            "q": self.q,
            "generator": self.generator.get_state(),
            "num_updates": self.num_updates,
        }

    def load_state_dict(self, state):
        self.q, self.num_updates = state["q"], state["num_updates"]
        self.generator.set_state(state["generator"])


def start(folder, num_steps=50, agent=None, seed=0, **options):
    """Begin or resume a run in `folder`; the periods do not divide each other, on purpose."""
    mdp = probes()[4].mdp
    env = TabularEnv(mdp, NUM_ENVS, torch.Generator().manual_seed(seed), max_steps=5)
    agent = agent or Learner(mdp.num_states)
    options = {
        "checkpoint_path": folder / "checkpoint.pt",
        "checkpoint_every": 11,
        "log_every": 7,
        "evaluate": lambda step: {"value": agent.q.sum((1, 2)), "steps_seen": step},
        "evaluate_every": 10,
        "progress": False,
        **options,
    }
    num_done = run_loop(env, agent, num_steps, record=Record(folder, {}), **options)
    return num_done, agent


def content(folder):
    return (folder / "metrics.jsonl").read_bytes()


def assert_same_state(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same_state(one[key], other[key])
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


def assert_same_run(one, other):
    assert content(one) == content(other)
    states = [load_checkpoint(folder / "checkpoint.pt") for folder in (one, other)]
    assert_same_state(*states)


def stop_at(number, how):
    def on_update(num_updates):
        if num_updates == number:
            how()

    return on_update


def press_stop():
    signal.raise_signal(signal.SIGINT)


def crash():
    raise OSError("the machine is gone")


class TestWhatTheAgentGets:
    def test_the_parts_fulfil_the_protocols(self):
        assert isinstance(Recorder(), Agent)
        assert isinstance(Counter(), Environment)

    def test_only_real_transitions_are_valid(self, tmp_path):
        agent = Recorder()
        run_loop(Counter(), agent, 12, record=Record(tmp_path, {}), progress=False)
        for number, (transition, valid) in enumerate(agent.seen):
            # Instance b has an episode of b + 2 steps, then one call that only resets.
            ages = [number % 3, number % 4, number % 5]
            assert transition.obs.tolist() == ages
            assert valid.tolist() == [ages[0] < 2, ages[1] < 3, ages[2] < 4]
            real = transition.next_obs[valid]
            assert torch.equal(real, transition.obs[valid] + 1)
            assert torch.equal(transition.reward[valid], real.float())
            assert transition.discount[1] == 1.0  # a time limit does not terminate
        assert any(transition.discount[0] == 0.0 for transition, _ in agent.seen)

    def test_acting_needs_no_gradients(self, tmp_path):
        class Probe(Recorder):
            def act(self, step):
                assert not torch.is_grad_enabled()
                return super().act(step)

            def update(self, transition, valid):
                assert torch.is_grad_enabled()
                return super().update(transition, valid)

        run_loop(Counter(), Probe(), 3, record=Record(tmp_path, {}), progress=False)

    def test_probe_is_learned(self, tmp_path):
        _, agent = start(tmp_path, num_steps=1500)
        expected = probes()[4].optimal_q().expand(NUM_ENVS, -1, -1)
        torch.testing.assert_close(agent.q, expected, atol=0.05, rtol=0)


class TestMetrics:
    def test_episode_returns(self, tmp_path):
        run_loop(
            Counter(), Recorder(), 12, record=Record(tmp_path, {}), log_every=4, progress=False
        )
        metrics = load_metrics(tmp_path)
        # Instances close episodes of return 3, 6 and 10 in every 3rd, 4th and 5th step.
        assert metrics["step"].tolist() == [4, 8, 12]
        assert metrics["episode_return"] == pytest.approx([9 / 2, 19 / 3, 22 / 4])

    def test_rows_without_a_finished_episode_have_no_return(self, tmp_path):
        options = {"log_every": 1, "progress": False}
        run_loop(Counter(), Learner(5), 3, record=Record(tmp_path, {}), **options)
        returns = load_metrics(tmp_path)["episode_return"]
        assert [value != value for value in returns] == [True, True, False]

    def test_means_and_evaluations(self, tmp_path):
        _, agent = start(tmp_path)
        metrics = load_metrics(tmp_path)
        assert metrics["step"].tolist() == [0, 7, 10, 14, 20, 21, 28, 30, 35, 40, 42, 49, 50]
        assert metrics["value"].shape == (13, NUM_ENVS)
        assert metrics["steps_seen"][metrics["step"] == 30] == 30
        twin = Learner(3)
        noise = []
        for _ in range(7):
            twin.act(None)
            noise.append(torch.rand((), generator=twin.generator))
        assert metrics["noise"][1] == pytest.approx(torch.stack(noise).mean().item())

    def test_progress_bar_shows_the_return(self, tmp_path, capsys):
        start(tmp_path, progress=True)
        shown = capsys.readouterr().err
        assert "50/50" in shown
        assert "return=" in shown

    @pytest.mark.parametrize("number", [5, 12, 22])
    def test_nan_is_named_and_no_checkpoint_holds_it(self, tmp_path, number):
        class Broken(Learner):
            def update(self, transition, valid):
                metrics = super().update(transition, valid)
                return metrics | {"loss": metrics["loss"] / (self.num_updates != number)}

        with pytest.raises(NonFiniteMetric, match="'loss' is .* last good checkpoint is") as info:
            start(tmp_path, agent=Broken(3))
        assert "checkpoint.pt" in str(info.value)
        assert load_checkpoint(tmp_path / "checkpoint.pt")["loop"]["num_done"] < number
        # Mended, the run goes on from there and nothing is lost.
        start(tmp_path)
        start(tmp_path / "whole")
        assert_same_run(tmp_path, tmp_path / "whole")

    @pytest.mark.parametrize("where", ["act", "step"])
    def test_a_failure_after_a_nan_is_told_as_what_it_is(self, tmp_path, where):
        class Failing(Learner):
            def act(self, step):
                if where == "act" and self.num_updates == 20:
                    raise RuntimeError("probability tensor contains nan")
                return super().act(step)

            def update(self, transition, valid):
                metrics = super().update(transition, valid)
                return metrics | {"loss": metrics["loss"] / (self.num_updates < 20)}

        class Refusing(TabularEnv):
            def step(self, action):
                if where == "step" and agent.num_updates == 20:
                    raise ValueError("actions must be numbers")
                return super().step(action)

        mdp = probes()[4].mdp
        env = Refusing(mdp, NUM_ENVS, torch.Generator().manual_seed(0), max_steps=5)
        agent, checkpoint = Failing(mdp.num_states), tmp_path / "checkpoint.pt"
        options = {"checkpoint_path": checkpoint, "checkpoint_every": 11, "progress": False}
        with pytest.raises(NonFiniteMetric, match="'loss' is .* last good checkpoint is"):
            run_loop(env, agent, 50, record=Record(tmp_path, {}), **options)
        assert load_checkpoint(checkpoint)["loop"]["num_done"] == 11

    def test_an_action_that_is_no_number_is_named(self, tmp_path):
        class Lost(Recorder):
            def act(self, step):
                return torch.full((3,), float("nan"))

        class Strict(Counter):
            def step(self, action):
                raise ValueError("actions must be numbers")

        with pytest.raises(NonFiniteMetric, match="'action' is nan"):
            run_loop(Strict(), Lost(), 5, record=Record(tmp_path, {}), progress=False)

    def test_other_failures_stay_what_they_are(self, tmp_path):
        class Strict(Counter):
            def step(self, action):
                raise ValueError("the door is locked")

        with pytest.raises(ValueError, match="the door is locked"):
            run_loop(Strict(), Recorder(), 5, record=Record(tmp_path, {}), progress=False)
        assert load_metrics_or_none(tmp_path) is None


def load_metrics_or_none(folder):
    return load_metrics(folder) if (folder / "metrics.jsonl").stat().st_size else None


class TestResuming:
    @pytest.mark.parametrize("how", [press_stop, crash])
    @pytest.mark.parametrize("number", [1, 7, 11, 13, 21, 22, 40, 50])
    def test_gives_the_same_result_as_an_uninterrupted_run(self, tmp_path, number, how):
        whole, broken = tmp_path / "whole", tmp_path / "broken"
        start(whole)
        agent = Learner(3, on_update=stop_at(number, how))
        if how is crash:
            with pytest.raises(OSError, match="the machine is gone"):
                start(broken, agent=agent)
        else:
            assert start(broken, agent=agent)[0] == number
        # Whatever the new process starts from must not matter.
        assert start(broken, agent=Learner(3, seed=99), seed=99)[0] == 50
        assert_same_run(whole, broken)

    def test_several_interrupts(self, tmp_path):
        start(tmp_path / "whole")
        numbers = [3, 17, 18, 44]
        for number in numbers:
            agent = Learner(3, on_update=stop_at(number, press_stop))
            assert start(tmp_path / "broken", agent=agent)[0] == number
        start(tmp_path / "broken")
        assert_same_run(tmp_path / "whole", tmp_path / "broken")

    def test_a_longer_run_goes_on_from_a_shorter_one(self, tmp_path):
        start(tmp_path / "whole", num_steps=60)
        start(tmp_path / "parts", num_steps=33)
        start(tmp_path / "parts", num_steps=60)
        assert_same_run(tmp_path / "whole", tmp_path / "parts")

    def test_a_finished_run_is_not_run_again(self, tmp_path):
        start(tmp_path)
        before = content(tmp_path)
        agent = Learner(3, on_update=lambda number: pytest.fail("updated"))
        assert start(tmp_path, agent=agent)[0] == 50
        assert content(tmp_path) == before

    def test_an_interrupt_says_how_to_resume(self, tmp_path, capsys):
        start(tmp_path, agent=Learner(3, on_update=stop_at(5, press_stop)))
        said = capsys.readouterr().err
        assert f"Interrupted at step 5 of 50; everything is saved in {tmp_path}" in said
        assert "again to go on" in said

    def test_an_interrupt_without_a_checkpoint(self, tmp_path, capsys):
        agent = Learner(3, on_update=stop_at(5, press_stop))
        assert start(tmp_path, agent=agent, checkpoint_path=None)[0] == 5
        assert "No checkpoint was kept" in capsys.readouterr().err

    def test_a_second_interrupt_stops_at_once(self, tmp_path):
        def twice():
            press_stop()
            press_stop()

        with pytest.raises(KeyboardInterrupt):
            start(tmp_path, agent=Learner(3, on_update=stop_at(13, twice)))
        assert load_checkpoint(tmp_path / "checkpoint.pt")["loop"]["num_done"] == 11
        start(tmp_path)
        start(tmp_path / "whole")
        assert_same_run(tmp_path, tmp_path / "whole")

    def test_the_handler_of_interrupts_is_put_back(self, tmp_path):
        before = signal.getsignal(signal.SIGINT)
        start(tmp_path, agent=Learner(3, on_update=stop_at(5, press_stop)))
        assert signal.getsignal(signal.SIGINT) is before

    def test_in_a_thread(self, tmp_path):
        thread = threading.Thread(target=start, args=(tmp_path,))
        thread.start()
        thread.join()
        assert load_metrics(tmp_path)["step"][-1] == 50

    def test_metrics_without_their_checkpoint_are_not_overwritten(self, tmp_path):
        start(tmp_path)
        (tmp_path / "checkpoint.pt").unlink()
        before = content(tmp_path)
        with pytest.raises(ValueError, match="up to step 50.*no checkpoint.*another folder"):
            start(tmp_path)
        assert content(tmp_path) == before

    def test_fewer_steps_than_done(self, tmp_path):
        start(tmp_path)
        with pytest.raises(ValueError, match="is at step 50, beyond the num_steps asked for, 20"):
            start(tmp_path, num_steps=20)


@pytest.mark.parametrize("name", ["log_every", "checkpoint_every", "evaluate_every", "num_steps"])
def test_counts_are_positive(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1: got 0"):
        start(tmp_path, **{name: 0})
