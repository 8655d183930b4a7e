import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcourse.data.replay import Replay, SequenceReplay
from rlcourse.ops.targets import retrace
from rlcourse.run.checkpoint import load_checkpoint, save_checkpoint
from rlcourse.types import Transition


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def numbered(start, count, dict_obs=False):
    """Transitions that carry their number in every field."""
    number = torch.arange(start, start + count, dtype=torch.float32)
    obs, next_obs = (torch.stack([n, -n], -1) for n in (number, number + 0.5))
    if dict_obs:
        obs, next_obs = ({"proprio": x, "task": x[:, 0].long()} for x in (obs, next_obs))
    return Transition(obs, number[:, None], number, number / 1000, next_obs)


def held_numbers(replay, seed=0, batch_size=2000):
    return sorted(set(replay.sample(batch_size, seeded(seed)).reward.int().tolist()))


class TestReplay:
    def test_fields_stay_together(self):
        replay = Replay(10)
        replay.add_(numbered(0, 4, dict_obs=True))
        batch = replay.sample(32, seeded())
        assert batch.obs["proprio"].shape == (32, 2)
        assert torch.equal(batch.obs["proprio"][:, 0], batch.reward)
        assert torch.equal(batch.obs["task"], batch.reward.long())
        assert batch.obs["task"].dtype == torch.int64
        assert torch.equal(batch.action[:, 0], batch.reward)
        assert torch.equal(batch.discount, batch.reward / 1000)
        assert torch.equal(batch.next_obs["proprio"][:, 0], batch.reward + 0.5)

    def test_is_uniform(self):
        replay = Replay(8)
        for start in range(0, 12, 3):
            replay.add_(numbered(start, 3))
        counts = replay.sample(8000, seeded()).reward.long().bincount(minlength=12)[4:]
        chi_square = ((counts - 1000) ** 2 / 1000).sum().item()
        assert chi_square < 24.3  # exceeded by 1 in 1000 with 7 degrees of freedom

    @given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(5, 9))
    def test_keeps_the_latest(self, counts, capacity):
        replay, start = Replay(capacity), 0
        for count in counts:
            replay.add_(numbered(start, count))
            start += count
        assert len(replay) == min(start, capacity)
        assert held_numbers(replay, batch_size=500) == list(range(max(0, start - capacity), start))

    def test_leaves_out_what_is_no_transition(self):
        replay = Replay(10)
        replay.add_(numbered(0, 4), torch.tensor([True, False, False, True]))
        assert held_numbers(replay) == [0, 3]
        replay.add_(numbered(4, 2), torch.tensor([False, False]))
        assert held_numbers(replay) == [0, 3]

    def test_a_change_of_what_was_added_or_drawn_changes_nothing(self):
        replay, transition = Replay(4), numbered(1, 2)
        replay.add_(transition)
        transition.reward.zero_()
        replay.sample(4, seeded()).reward.zero_()
        assert held_numbers(replay) == [1, 2]

    def test_keeps_no_gradient(self):
        replay, transition = Replay(4), numbered(0, 2)
        transition.action.requires_grad_()
        replay.add_(transition)
        assert not replay.sample(2, seeded()).action.requires_grad

    @pytest.mark.parametrize("num_added", [0, 1, 3])
    def test_resumed_is_as_uninterrupted(self, num_added, tmp_path):
        """Through a checkpoint, from empty, half full and wrapped around."""
        whole, resumed = Replay(7), Replay(7)
        for i in range(num_added):
            whole.add_(numbered(3 * i, 3, dict_obs=True))
        save_checkpoint(tmp_path / "replay.pt", whole.state_dict())
        resumed.load_state_dict(load_checkpoint(tmp_path / "replay.pt"))
        for replay in (whole, resumed):
            replay.add_(numbered(100, 4, dict_obs=True))
        first, second = (r.sample(50, seeded()) for r in (whole, resumed))
        assert torch.equal(first.reward, second.reward)
        assert torch.equal(first.obs["proprio"], second.obs["proprio"])

    def test_state_is_a_copy_and_has_the_size_of_what_is_held(self):
        replay = Replay(1000)
        replay.add_(numbered(5, 2))
        state = replay.state_dict()
        assert state["rows"]["reward"].tolist() == [5.0, 6.0]
        replay.add_(numbered(0, 1000))
        assert state["rows"]["reward"].tolist() == [5.0, 6.0]
        other = Replay(1000)
        other.load_state_dict(state)
        other.add_(numbered(0, 1000))
        assert state["rows"]["reward"].tolist() == [5.0, 6.0]

    def test_empty(self):
        replay = Replay(4)
        with pytest.raises(ValueError, match="replay is empty: add a transition before sampling"):
            replay.sample(1, seeded())
        replay.add_(numbered(0, 2), torch.tensor([False, False]))
        with pytest.raises(ValueError, match="replay is empty"):
            replay.sample(1, seeded())

    def test_invalid_sizes(self):
        with pytest.raises(ValueError, match="capacity of at least 1: got 0"):
            Replay(0)
        replay = Replay(4)
        with pytest.raises(ValueError, match="5 transitions at once .* capacity of 4"):
            replay.add_(numbered(0, 5))
        replay.add_(numbered(0, 2))
        with pytest.raises(ValueError, match="batch_size must be at least 1: got 0"):
            replay.sample(0, seeded())
        with pytest.raises(ValueError, match="capacity 4, this one has 5"):
            Replay(5).load_state_dict(replay.state_dict())

    def test_other_shapes(self):
        replay, good = Replay(8), numbered(0, 2)
        replay.add_(good)
        for bad, message in [
            (
                good._replace(action=torch.zeros(2, 3)),
                r"action was .*'any', 1\], and is .*'any', 3\]",
            ),
            (
                good._replace(reward=good.reward.double()),
                r"reward was \[torch.float32.*\[torch.float64",
            ),
            (numbered(0, 2, dict_obs=True), "all transitions must be alike: .*absent"),
            (good._replace(reward=torch.zeros(3)), "one size throughout: got .*'reward': 3"),
        ]:
            with pytest.raises(ValueError, match=message):
                replay.add_(bad)
        assert len(replay) == 2


class Stream:
    """B instances whose episodes have given lengths; every entry says where it comes from.

    obs = [instance, episode, time in the episode]; an episode of length n has n transitions, then
    the entry in which the next one starts.
    """

    def __init__(self, lengths, terminates=True):
        self.lengths, self.terminates = lengths, terminates
        self.episode, self.time = [0] * len(lengths), [0] * len(lengths)

    def next(self):
        rows = [self._advance(b) for b in range(len(self.lengths))]
        obs, next_obs, reward, discount, log_prob, valid = zip(*rows, strict=True)
        obs, next_obs = torch.tensor(obs), torch.tensor(next_obs)
        transition = Transition(
            {"place": obs}, obs[:, 2:] + 0.25, torch.tensor(reward), torch.tensor(discount),
            {"place": next_obs},
        )  # fmt: skip
        return transition, torch.tensor(log_prob), torch.tensor(valid)

    def _advance(self, b):
        episode, time = self.episode[b], self.time[b]
        last = self.lengths[b][episode % len(self.lengths[b])]
        here = [float(b), float(episode), float(time)]
        if time == last:
            self.episode[b], self.time[b] = episode + 1, 0
            return here, [float(b), episode + 1.0, 0.0], 0.0, 1.0, 0.0, False
        self.time[b] = time + 1
        ends = time + 1 == last and self.terminates
        there = [float(b), float(episode), time + 1.0]
        return here, there, time + 1.0, 0.0 if ends else 1.0, -float(time), True


def filled(lengths, num_steps, capacity=50, length=3, terminates=True):
    replay, stream = SequenceReplay(capacity, length), Stream(lengths, terminates)
    for _ in range(num_steps):
        replay.add_(*stream.next())
    return replay


def stored(replay):
    """Every sequence held, once, as (instance, episode, [times of its real steps])."""
    sequence, valid = replay.sample(1000, seeded())
    rows = torch.cat([sequence.obs["place"], valid.unsqueeze(-1)], -1)  # [T, 1000, 4]
    found = []
    for steps in rows.transpose(0, 1).unique(dim=0).int():
        real = steps[steps[:, 3] == 1]
        assert len(real[:, :2].unique(dim=0)) == 1, "crosses an episode"
        found.append((*real[0, :2].tolist(), tuple(real[:, 2].tolist())))
    return sorted(found)


episode_lengths = st.lists(
    st.lists(st.integers(1, 7), min_size=1, max_size=4), min_size=1, max_size=3
)


class TestSequenceReplay:
    def test_by_hand(self):
        replay = filled([[5]], 6)  # one episode and the entry after it
        assert stored(replay) == [(0, 0, (0, 1, 2)), (0, 0, (3, 4))]
        sequence, valid = replay.sample(20, seeded())
        padded = ~valid[2]
        assert padded.any()
        assert not padded.all()
        whole, short = ({n: getattr(sequence, n)[:, at] for n in (
            "action", "reward", "discount", "is_first", "log_prob"
        )} for at in (int(valid[2].int().argmax()), int(padded.int().argmax())))  # fmt: skip
        assert whole["action"].squeeze(1).tolist() == [0.25, 1.25, 2.25]
        assert whole["reward"].tolist() == [1.0, 2.0, 3.0]
        assert whole["discount"].tolist() == [1.0, 1.0, 1.0]
        assert whole["is_first"].tolist() == [True, False, False]
        assert whole["log_prob"].tolist() == [0.0, -1.0, -2.0]
        assert short["action"].squeeze(1).tolist() == [3.25, 4.25, 0.0]
        assert short["reward"].tolist() == [4.0, 5.0, 0.0]
        assert short["discount"].tolist() == [1.0, 0.0, 0.0]
        assert short["is_first"].tolist() == [False, False, False]
        assert short["log_prob"].tolist() == [-3.0, -4.0, math.inf]
        assert sequence.obs["place"][:, padded, 2].T[0].tolist() == [3.0, 4.0, 5.0]
        assert sequence.final_obs["place"][padded, 2][0].item() == 5.0
        assert sequence.final_obs["place"][~padded, 2][0].item() == 3.0

    def test_shapes_and_dtypes(self):
        sequence, valid = filled([[5], [2]], 20).sample(7, seeded())
        assert sequence.obs["place"].shape == (3, 7, 3)
        assert sequence.final_obs["place"].shape == (7, 3)
        assert sequence.action.shape == (3, 7, 1)
        assert sequence.is_first.dtype == valid.dtype == torch.bool
        assert sequence.reward.shape == sequence.log_prob.shape == valid.shape == (3, 7)

    @settings(max_examples=12)
    @given(episode_lengths, st.integers(1, 5), st.integers(1, 25))
    def test_every_step_is_in_one_sequence_of_one_episode(self, lengths, length, num_steps):
        replay, stream = SequenceReplay(500, length), Stream(lengths)
        done = []
        for _ in range(num_steps):
            transition, log_prob, valid = stream.next()
            replay.add_(transition, log_prob, valid)
            done += [tuple(p) for p in transition.obs["place"][valid].int().tolist()]
        if not len(replay):
            return
        found = [(b, e, t) for b, e, times in stored(replay) for t in times]
        assert len(found) == len(set(found))
        growing = int(replay.state_dict()["grown"].sum())
        assert len(found) == len(done) - growing
        assert set(found) <= set(done)

    @settings(max_examples=12)
    @given(episode_lengths, st.integers(1, 4), st.booleans())
    def test_consecutive_and_marked(self, lengths, length, terminates):
        replay = filled(lengths, 20, 500, length, terminates)
        sequence, valid = replay.sample(200, seeded())
        obs = torch.cat([sequence.obs["place"], sequence.final_obs["place"][None]])
        assert valid[0].all()
        assert (valid[1:] <= valid[:-1]).all()
        times = obs[..., 2]
        assert torch.equal(times[1:][valid], times[:-1][valid] + 1)
        assert torch.equal(times[1:][~valid], times[:-1][~valid])
        assert torch.equal(sequence.is_first, (times[:-1] == 0) & valid)
        assert torch.equal(sequence.reward[valid], times[1:][valid])
        assert torch.equal(sequence.log_prob[valid], -times[:-1][valid])
        assert (sequence.log_prob[~valid] == math.inf).all()
        assert (sequence.discount[~valid] == 0).all()

    def test_retrace_of_a_padded_sequence_is_that_of_the_real_steps(self):
        """At a time limit too, where the discount is 1."""
        replay = filled([[4]], 5, length=6, terminates=False)
        sequence, valid = replay.sample(1, seeded())
        assert valid.sum() == 4
        generator = seeded()
        q, value, log_pi = torch.randn(3, 6, 1, generator=generator)
        arrays = (q, value, sequence.reward, sequence.discount, log_pi - sequence.log_prob)
        whole = retrace(*arrays, 1.0)
        torch.testing.assert_close(whole[:4], retrace(*(x[:4] for x in arrays), 1.0))

    def test_is_uniform_and_keeps_the_latest(self):
        replay = filled([[100], [100]], 60, capacity=10)
        assert len(replay) == 10
        sequence, _ = replay.sample(5000, seeded())
        _, counts = sequence.obs["place"][0].unique(dim=0, return_counts=True)
        assert len(counts) == 10
        assert sequence.obs["place"][0, :, 2].min() == 45.0
        chi_square = ((counts - 500) ** 2 / 500).sum().item()
        assert chi_square < 27.9  # exceeded by 1 in 1000 with 9 degrees of freedom

    @pytest.mark.parametrize("num_steps", [0, 2, 6, 11, 40])
    def test_resumed_is_as_uninterrupted(self, num_steps, tmp_path):
        """Sequences that were growing when the run stopped included."""
        whole, resumed = SequenceReplay(9, 4), SequenceReplay(9, 4)
        stream = Stream([[5, 2], [7]])
        for _ in range(num_steps):
            whole.add_(*stream.next())
        save_checkpoint(tmp_path / "replay.pt", whole.state_dict())
        resumed.load_state_dict(load_checkpoint(tmp_path / "replay.pt"))
        for _ in range(13):
            step = stream.next()
            whole.add_(*step)
            resumed.add_(*step)
        (first, valid), (second, valid_too) = (r.sample(40, seeded()) for r in (whole, resumed))
        assert torch.equal(valid, valid_too)
        assert torch.equal(first.obs["place"], second.obs["place"])
        assert torch.equal(first.log_prob, second.log_prob)
        assert torch.equal(first.is_first, second.is_first)

    def test_state_is_a_copy(self):
        replay = filled([[9]], 2)
        state = replay.state_dict()
        before = state["growing"]["reward"].clone()
        other = SequenceReplay(50, 3)
        other.load_state_dict(state)
        other.add_(*Stream([[9]]).next())
        replay.add_(*Stream([[9]]).next())
        assert torch.equal(state["growing"]["reward"], before)
        assert state["grown"].tolist() == [2]

    def test_nothing_complete(self):
        replay = SequenceReplay(10, 4)
        with pytest.raises(ValueError, match="replay is empty: add a sequence"):
            replay.sample(1, seeded())
        stream = Stream([[9], [2]])
        for _ in range(2):
            replay.add_(*stream.next())
        with pytest.raises(ValueError, match="no sequence of 4 steps is complete yet: got 2 steps"):
            replay.sample(1, seeded())

    def test_invalid_sizes(self):
        with pytest.raises(ValueError, match="length of at least 1: got 0"):
            SequenceReplay(4, 0)
        with pytest.raises(ValueError, match="capacity of at least 1: got 0"):
            SequenceReplay(0, 4)
        state = filled([[9]], 5, capacity=4, length=3).state_dict()
        with pytest.raises(ValueError, match="sequences of 3 steps, this replay of 5"):
            SequenceReplay(4, 5).load_state_dict(state)
        with pytest.raises(ValueError, match="capacity 4, this one has 6"):
            SequenceReplay(6, 3).load_state_dict(state)
        with pytest.raises(ValueError, match="2 sequences at once do not fit into a capacity of 1"):
            filled([[9], [9]], 1, capacity=1)

    def test_other_shapes(self):
        replay = filled([[9]], 1)
        transition, log_prob, valid = Stream([[9]]).next()
        with pytest.raises(ValueError, match="all steps must be alike: action was .*, 1, 'any', 1"):
            replay.add_(transition._replace(action=torch.zeros(1, 2)), log_prob, valid)
        with pytest.raises(ValueError, match="all steps must be alike: .* was .*, 1, 'any'"):
            replay.add_(*Stream([[9], [9]]).next())
        with pytest.raises(
            ValueError, match="all observations must be alike: place was .* is absent"
        ):
            replay.add_(transition._replace(next_obs={"other": torch.zeros(1)}), log_prob, valid)
        replay.add_(transition, log_prob, valid)

    @pytest.mark.usefixtures("without_type_checks")
    def test_uneven_batch(self):
        transition, log_prob, valid = Stream([[9], [9]]).next()
        with pytest.raises(ValueError, match=r"one size throughout: got .*'log_prob': 1"):
            SequenceReplay(4, 3).add_(transition, log_prob[:1], valid)
        with pytest.raises(ValueError, match=r"one size throughout: got .*'valid': 1"):
            SequenceReplay(4, 3).add_(transition, log_prob, valid[:1])
