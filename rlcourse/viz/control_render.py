"""The point mass in three dimensions, by MuJoCo's own renderer. It needs EGL, which draws without a
screen; everything else in the course does without this.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import mujoco
import numpy as np
from jaxtyping import UInt8
from matplotlib.colors import to_rgb, to_rgba
from numpy.typing import NDArray

from rlcourse.envs.control_model import Arena, arena_spec
from rlcourse.envs.control_task import PointMassConfig
from rlcourse.viz.control import WALL_WIDTH, Trajectory, target_color
from rlcourse.viz.style import PALETTE


class RendererError(RuntimeError):
    """MuJoCo cannot draw here. The message says what else can."""


def render(
    config: PointMassConfig,
    trajectory: Trajectory,
    *,
    steps: Sequence[int] | None = None,
    width: int = 480,
    height: int = 360,
) -> UInt8[NDArray, "N H W 3"]:
    """Draw an episode, seen from the south and above.

    Args:
        config: of the task.
        trajectory: the episode.
        steps: which of its steps; None: all.
        width: in pixels.
        height: in pixels.

    Returns:
        One RGB image per step.

    Raises:
        RendererError: there is no EGL, or it cannot draw.
        ValueError: a step beyond the episode.
    """
    steps = range(len(trajectory.position)) if steps is None else steps
    for step in steps:
        if not 0 <= step < len(trajectory.position):
            raise ValueError(f"the episode has {len(trajectory.position)} steps: got step {step}")
    model = _seen(config, trajectory, width, height)
    data, camera = mujoco.MjData(model), _camera(config.arena)
    scene, option = mujoco.MjvScene(model, maxgeom=200), mujoco.MjvOption()
    scene.flags[mujoco.mjtRndFlag.mjRND_HAZE] = False
    rectangle = mujoco.MjrRect(0, 0, width, height)
    images = np.empty((len(steps), height, width, 3), dtype=np.uint8)
    with _context(model, width, height) as context:
        for image, step in zip(images, steps, strict=True):
            data.qpos[:] = trajectory.position[step]
            mujoco.mj_forward(model, data)
            category = mujoco.mjtCatBit.mjCAT_ALL
            mujoco.mjv_updateScene(model, data, option, None, camera, category, scene)
            mujoco.mjr_render(rectangle, scene, context)
            mujoco.mjr_readPixels(image, None, rectangle, context)
    return images[:, ::-1]  # OpenGL counts rows from below


@contextmanager
def _context(model: mujoco.MjModel, width: int, height: int) -> Iterator[mujoco.MjrContext]:
    """A place to draw in, whatever renderer MuJoCo was told to use when it was imported."""
    try:
        from mujoco.egl import GLContext

        canvas = GLContext(width, height)
        canvas.make_current()
        context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    except (ImportError, AttributeError, RuntimeError, OSError, mujoco.FatalError) as error:
        raise RendererError(
            f"MuJoCo cannot draw here, since there is no working EGL ({error}). Install Mesa's"
            " (Debian and Ubuntu: 'sudo apt-get install libegl1', and 'pip install pyopengl'), or"
            " draw with rlcourse.viz.control and control_animation, which need none"
        ) from error
    try:
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
        yield context
    finally:
        context.free()
        canvas.free()


def _seen(
    config: PointMassConfig, trajectory: Trajectory, width: int, height: int
) -> mujoco.MjModel:
    """The model with what is only to be seen: floor, walls, targets, light."""
    arena, spec = config.arena, arena_spec(config.arena)
    spec.visual.global_.offwidth, spec.visual.global_.offheight = width, height
    spec.visual.quality.offsamples = 4
    head = spec.visual.headlight
    head.ambient, head.diffuse, head.specular = [0.5] * 3, [0.25] * 3, [0.0] * 3
    spec.add_texture(
        name="background",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        rgb1=to_rgb(PALETTE["line"]),
        rgb2=to_rgb(PALETTE["line"]),
        width=16,
        height=96,
    )
    world, box = spec.worldbody, mujoco.mjtGeom.mjGEOM_BOX
    world.add_light(pos=[-1.0, -1.5, 3.0], dir=[0.3, 0.45, -1.0], diffuse=[0.4] * 3)
    half, tall = arena.half_size, 1.6 * arena.radius
    floor = to_rgba(PALETTE["floor"])
    world.add_geom(type=box, pos=[0, 0, -0.02], size=[half, half, 0.02], rgba=floor)
    middle, long = half + WALL_WIDTH / 2, half + WALL_WIDTH
    for x, y in ((1, 0), (0, 1), (-1, 0), (0, -1)):
        world.add_geom(
            type=box,
            pos=[x * middle, y * middle, tall / 2],
            size=[WALL_WIDTH / 2 if x else long, WALL_WIDTH / 2 if y else long, tall / 2],
            rgba=to_rgba(PALETTE["wall"]),
        )
    for number, (x, y) in enumerate(trajectory.targets):
        world.add_site(
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            pos=[x, y, 0.002],
            size=[config.target_radius, 0.002, 0.0],
            rgba=to_rgba(target_color(number), 0.9),
        )
    spec.geom("mass0").rgba = to_rgba(PALETTE["baseline"])
    return spec.compile()


def _camera(arena: Arena) -> mujoco.MjvCamera:
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.lookat[:] = 0.0
    camera.distance, camera.azimuth, camera.elevation = 2.9 * arena.half_size, 90.0, -55.0
    return camera
