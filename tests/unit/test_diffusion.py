import pytest
import torch
from method_settings import training_settings

from tfcore.methods.transfusion.diffusion import (
    Heads,
    Step,
    at,
    betas,
    call_timesteps,
    compose,
    mask_divisor,
    reverse_process,
    reverse_step,
    training_timesteps,
)
from tfcore.runtime.errors import SettingsError, UserError

SCHEDULES = ("linear", "root", "quadratic")
GRIDS = ("t_over_T", "linspace")


def parts(batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    normal, anomaly = (torch.rand(batch, 3, 5, 4, generator=generator, dtype=torch.float64) * 2 - 1 for _ in range(2))
    mask = (torch.rand(batch, 1, 5, 4, generator=generator) < 0.4).double()
    return normal, anomaly, mask


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [3, 5, 20, 100])
def test_schedule_runs_from_0_to_1(schedule, grid, steps):
    table = betas(steps, schedule, grid)
    assert len(table) == (steps + 1 if grid == "t_over_T" else steps)
    assert table[0] == 0
    assert table[-1] == 1
    assert (table.diff() > 0).all()


def test_schedules_have_their_shapes():
    quarter = 5  # t/T = 1/4
    assert betas(20, "linear")[quarter] == 0.25
    assert betas(20, "root")[quarter] == 0.5
    assert betas(20, "quadratic")[quarter] == 0.0625
    assert torch.allclose(betas(20, "linear", "linspace"), torch.linspace(0, 1, 20, dtype=torch.float64), atol=1e-15)


@pytest.mark.parametrize("target", ["epsilon", "scaled_epsilon"])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [5, 20, 50])
def test_reverse_step_undoes_one_step_of_the_composition(steps, schedule, grid, target):
    table = betas(steps, schedule, grid)
    t = torch.arange(1, len(table))  # every timestep, one sample each
    normal, anomaly, mask = parts(len(t))
    x_t = compose(normal, anomaly, mask, table[t])
    learnt = at(table, t) * anomaly if target == "scaled_epsilon" else anomaly
    previous = reverse_step(x_t, t, mask, learnt, normal, table, target)
    expected = compose(normal, anomaly, mask, table[t - 1])
    assert (previous - expected).abs().max() < 1e-12


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_x_0_is_the_normal_appearance(schedule):
    normal, anomaly, mask = parts(2)
    x_0 = compose(normal, anomaly, mask, betas(20, schedule)[torch.zeros(2, dtype=torch.long)])
    assert torch.equal(x_0, normal)
    x_T = compose(normal, anomaly, mask, torch.ones(2, dtype=torch.float64))
    assert torch.equal(x_T, torch.where(mask > 0, anomaly, normal))


def test_calls_of_both_protocols():
    paper, release = training_settings("paper").diffusion, training_settings("release").diffusion
    assert call_timesteps(paper) == list(range(20, 0, -1))
    assert training_timesteps(paper) == (1, 20)
    assert mask_divisor(paper) == 20
    assert call_timesteps(release) == list(range(18, 0, -1))
    assert training_timesteps(release) == (1, 19)
    assert mask_divisor(release) == 19


def test_released_grid_needs_three_steps():
    with pytest.raises(SettingsError, match=r"diffusion\.steps"):
        call_timesteps(training_settings("release", diffusion={"steps": 2}).diffusion)


@pytest.mark.parametrize("steps", [3, 20])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("mask_kind", ["soft", "binary"])
def test_perfect_network_restores_the_normal_appearance(steps, schedule, mask_kind):
    diffusion = training_settings(diffusion={"steps": steps, "schedule": schedule, "step_mask": mask_kind}).diffusion
    normal, anomaly, mask = (value.float() for value in parts(2))
    seen: list[tuple[float, float]] = []

    def network(x: torch.Tensor, previous: torch.Tensor, t: torch.Tensor) -> Heads:
        seen.append((t[0].item(), previous.mean().item()))
        return Heads(mask * 200 - 100, anomaly, normal)

    trace: list[Step] = []
    result = reverse_process(network, compose(normal, anomaly, mask, torch.ones(2)), diffusion, trace)
    assert torch.allclose(result.x0, normal, atol=1e-6)
    assert torch.allclose(result.disc, mask, atol=1e-6)
    assert torch.allclose(result.last, mask, atol=1e-6)
    assert [t for t, _ in seen] == list(range(steps, 0, -1))
    assert seen[0][1] == 0  # the first previous mask is empty
    assert seen[1][1] == pytest.approx(mask.mean().item())
    assert [step.t for step in trace] == list(range(steps, 0, -1))


def test_released_loop_divides_by_one_more_than_its_calls():
    def network(x: torch.Tensor, previous: torch.Tensor, t: torch.Tensor) -> Heads:
        return Heads(torch.full_like(previous, 100.0), torch.zeros_like(x), torch.zeros_like(x))

    result = reverse_process(network, torch.zeros(1, 3, 4, 4), training_settings("release").diffusion)
    assert torch.allclose(result.disc, torch.full((1, 1, 4, 4), 18 / 19))
    assert torch.allclose(result.last, torch.ones(1, 1, 4, 4))


@pytest.mark.parametrize("image", [torch.zeros(3, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8).byte()])
def test_wrong_image_tensors_are_refused(image):
    with pytest.raises(UserError, match="images must be a float tensor"):
        reverse_process(lambda x, mask, t: Heads(mask, x, x), image, training_settings().diffusion)


def test_a_network_in_training_mode_is_refused():
    network = torch.nn.Identity().train()
    with pytest.raises(ValueError, match="training mode"):
        reverse_process(network, torch.zeros(1, 3, 8, 8), training_settings().diffusion)


@pytest.mark.parametrize("key", ["beta_grid", "anomaly_target", "step_mask"])
def test_unresolved_settings_are_refused(key):
    diffusion = training_settings(diffusion={key: None}).diffusion
    with pytest.raises(SettingsError, match=rf"diffusion\.{key}: follows the protocol"):
        reverse_process(lambda x, mask, t: Heads(mask, x, x), torch.zeros(1, 3, 8, 8), diffusion)
