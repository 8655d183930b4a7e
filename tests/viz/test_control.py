import base64
import re
import sys
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from rlcourse.envs.control import PointMass
from rlcourse.envs.control_task import PointMassConfig
from rlcourse.types import Step
from rlcourse.viz import control, control_animation, control_render
from rlcourse.viz.control import Trajectory

matplotlib.use("Agg")
CONFIG = PointMassConfig(max_steps=30)
ONCE = PointMassConfig(task="visit_targets", max_steps=30)


def straight(current=(0, 0, 1, 1), arrived=(False, False, True, False)):
    """Three steps to the right, with a new target after the second."""
    position = np.array([[-0.6, 0.1], [-0.2, 0.1], [0.2, 0.1], [0.6, 0.1]])
    targets = np.array([[0.3, 0.2], [-0.5, -0.5]])
    return Trajectory(position, targets, np.array(current), np.array(arrived))


def steps_by_hand(task):
    """Two instances; the second one's first episode ends at step 2, where its target is reached."""
    is_first = torch.tensor([[1, 1], [0, 0], [0, 0], [0, 1], [0, 0]]).bool()
    position = torch.arange(20.0).reshape(5, 2, 2) / 20.0
    places = torch.tensor([[0.5, 0.5], [-0.5, 0.25]])
    offsets = places - position[:, :, None]  # [T, B, K, 2]
    current = torch.tensor([[0, 1], [0, 1], [1, 1], [1, 0], [1, 0]])
    one_hot = torch.nn.functional.one_hot(current, 2).float()
    way = torch.take_along_dim(offsets, current[..., None, None], 2).squeeze(2)
    discount = torch.ones(5, 2)
    discount[2, 1] = 0.0
    tasks = one_hot if task == "one_hot" else way
    return [
        Step(
            {
                "proprio": torch.cat([position[t], torch.zeros(2, 2)], -1),
                "targets": offsets[t].flatten(1),
                "task": tasks[t],
            },
            torch.zeros(2),
            discount[t],
            is_first[t],
        )
        for t in range(5)
    ]


@pytest.mark.parametrize("task", ["one_hot", "position"])
def test_episodes_are_read_out_of_steps(task):
    steps = steps_by_hand(task)
    (whole,), (first, second) = control.trajectories(steps)
    assert [len(t.position) for t in (whole, first, second)] == [5, 3, 2]
    np.testing.assert_allclose(whole.position[:, 0], [0.0, 0.2, 0.4, 0.6, 0.8], atol=1e-6)
    np.testing.assert_allclose(second.targets, [[0.5, 0.5], [-0.5, 0.25]], atol=1e-6)
    assert whole.current.tolist() == [0, 0, 1, 1, 1]
    assert whole.arrived.tolist() == [False, False, True, False, False]
    assert first.arrived.tolist() == [False, False, True]
    assert second.arrived.tolist() == [False, False]
    assert whole.legs() == [(0, 0, 2), (1, 2, 4)]
    assert first.legs() == [(1, 0, 2)]


def test_legs_of_short_and_just_ended_episodes():
    one = Trajectory(np.zeros((1, 2)), np.zeros((2, 2)), np.array([1]), np.array([False]))
    assert one.legs() == [(1, 0, 0)]
    assert straight(current=(0, 0, 0, 1)).legs() == [(0, 0, 3)]


def test_playing_an_environment():
    env = PointMass(3, torch.Generator().manual_seed(0), CONFIG)
    episodes = control.play(env, lambda _: torch.full((3, 2), 0.2), 65)
    assert len(episodes) == 3
    for played in episodes:
        assert sum(len(trajectory.position) for trajectory in played) == 66
        assert all(len(trajectory.position) <= 31 for trajectory in played)
        for trajectory in played:
            assert (trajectory.current == trajectory.current[0]).all()
    state, last = env.physics_state, [played[-1] for played in episodes]
    np.testing.assert_allclose(state[:, :2], [t.position[-1] for t in last], atol=1e-6)
    np.testing.assert_allclose(env.target_positions, [t.targets for t in last], atol=1e-6)


def test_what_cannot_be_played():
    env = PointMass(2, torch.Generator(), groups=("proprio", "task"))
    with pytest.raises(ValueError, match="num_steps must be at least 1: got 0"):
        control.play(env, lambda _: torch.zeros(2, 2), 0)
    with pytest.raises(ValueError, match="unknown observation group 'targets'"):
        control.play(env, lambda _: torch.zeros(2, 2), 1)
    with pytest.raises(ValueError, match="no steps"):
        control.trajectories([])


def test_a_trajectory_is_drawn_in_the_colors_of_its_targets():
    ax = Figure().subplots()
    control.draw_trajectory(ax, CONFIG, straight(), ticks=True)
    trails = [c for c in ax.collections if isinstance(c, LineCollection)]
    assert [len(trail.get_segments()) for trail in trails] == [2, 1]
    last = matplotlib.colors.to_hex(trails[-1].get_colors()[-1]).upper()
    assert last == control.target_color(1)
    discs = [patch for patch in ax.patches if isinstance(patch, Circle)]
    assert len(discs) == 2 + 1 + 1  # targets, the ring of the current one, the mass
    assert [text.get_text() for text in ax.texts] == ["1", "2"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (m)", "y (m)")
    assert ax.get_xlim()[0] < -CONFIG.arena.half_size


def test_colors_of_targets_differ_and_come_again():
    colors = [control.target_color(number) for number in range(7)]
    assert len(set(colors)) == 7
    assert control.target_color(7) == colors[0]


def test_trails_and_panels():
    ax = Figure().subplots()
    control.draw_trails(ax, CONFIG, [straight()] * 3, color="uniform prior")
    assert len(ax.collections[0].get_segments()) == 3
    control.draw_trails(Figure().subplots(), CONFIG, [])
    figure = control.panel(CONFIG, [straight()] * 5, [f"agent {i}" for i in range(5)])
    figure.canvas.draw()
    assert [ax.get_title(loc="left") or ax.get_title() for ax in figure.axes][:2] == [
        "agent 0",
        "agent 1",
    ]
    assert [ax.axison for ax in figure.axes] == [True] * 5 + [False] * 3
    with pytest.raises(ValueError, match="no episode"):
        control.panel(CONFIG, [])
    with pytest.raises(ValueError, match="1 episodes and 2 titles"):
        control.panel(CONFIG, [straight()], ["a", "b"])


def parsed(animation):
    return ElementTree.fromstring(animation.svg)


def key_times(element):
    return [float(time) for time in element.get("keyTimes").split(";")]


def test_an_animation_is_well_formed_and_small():
    long = np.random.default_rng(0).uniform(-0.9, 0.9, (401, 2))
    trajectory = Trajectory(long, np.zeros((4, 2)), np.zeros(401, dtype=int), np.zeros(401, bool))
    animation = control_animation.animate(CONFIG, [trajectory, straight()], ["<a> & b", "c"])
    root = parsed(animation)
    assert len(animation.svg) < 40_000
    assert animation.seconds == pytest.approx(400 * 0.05 + 0.8)
    moves = [element for element in root.iter() if element.tag.endswith("animate")]
    assert len(moves) > 8
    for element in moves:
        times, values = key_times(element), element.get("values").split(";")
        assert len(times) == len(values)
        assert (times[0], times[-1]) == (0.0, 1.0)
        assert times == sorted(times)
        assert element.get("repeatCount") == "indefinite"
    words = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert "<a> & b" in words
    html = animation._repr_html_()
    encoded = re.search('base64,([^"]*)"', html)[1]
    assert base64.b64decode(encoded).decode() == animation.svg
    assert "http" not in animation.svg.replace("http://www.w3.org/2000/svg", "")
    assert "script" not in animation.svg
    assert "2 episodes" in repr(animation)


def test_an_animation_moves_through_the_positions():
    config = PointMassConfig(num_targets=2)
    (cx,) = [
        element
        for element in parsed(control_animation.animate(config, [straight()], speed=0.5)).iter()
        if element.get("attributeName") == "cx"
    ]
    seconds = 3 * 0.05 / 0.5 + 0.8
    np.testing.assert_allclose(
        key_times(cx), np.array([0, 0.1, 0.2, 0.3, seconds]) / seconds, atol=1e-3
    )
    x = np.array([float(value) for value in cx.get("values").split(";")])
    gaps = np.diff(x)
    np.testing.assert_allclose(gaps[:3], gaps[0], atol=0.15)
    assert gaps[0] > 0
    assert gaps[3] == 0.0


def test_an_animation_is_saved(tmp_path):
    animation = control_animation.animate(CONFIG, [straight()])
    animation.save(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text() == animation.svg


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"speed": 0.0}, "speed must be positive: got 0.0"),
        ({"played": []}, "no episode"),
        ({"titles": ["a", "b"]}, "1 episodes and 2 titles"),
        ({"played": [straight()] * 3_001}, "12004 steps make a picture too large"),
    ],
)
def test_what_cannot_be_animated(options, words):
    options = {"played": [straight()], **options}
    with pytest.raises(ValueError, match=words):
        control_animation.animate(CONFIG, **options)


def test_a_gif_of_two_episodes(tmp_path):
    path = tmp_path / "a.gif"
    control_animation.save_gif(path, ONCE, [straight(), straight()], ["a", "b"], stride=1)
    with Image.open(path) as image:
        assert image.n_frames == 4
        assert image.info["loop"] == 0
        frames = []
        for number in range(4):
            image.seek(number)
            frames.append(np.asarray(image.convert("RGB")).astype(int))
    assert all((a != b).any() for a, b in zip(frames, frames[1:], strict=False))
    assert path.stat().st_size < 60_000
    with pytest.raises(ValueError, match="must be positive"):
        control_animation.save_gif(path, CONFIG, [straight()], stride=0)
    long = straight()._replace(position=np.zeros((500, 2)))
    with pytest.raises(ValueError, match="500 frames make a file too large, at most 240"):
        control_animation.save_gif(path, CONFIG, [long], stride=1)


def test_mujoco_renders_where_it_can():
    config = PointMassConfig(num_targets=2)
    try:
        images = control_render.render(config, straight(), steps=[0, 3], width=120, height=90)
    except control_render.RendererError as error:
        pytest.skip(str(error))
    assert (images.shape, images.dtype) == ((2, 90, 120, 3), np.uint8)
    changed = np.flatnonzero((images[0] != images[1]).any((0, 2)))  # columns
    assert changed.min() < 45
    assert changed.max() > 75  # the mass has moved to the right
    with pytest.raises(ValueError, match="has 4 steps: got step 4"):
        control_render.render(config, straight(), steps=[4])


def test_without_egl_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco.egl", None)
    with pytest.raises(control_render.RendererError, match="libegl1.*rlcourse.viz.control"):
        control_render.render(CONFIG, straight(), steps=[0])
