import pytest
import torch

from rlcourse.nets.blocks import MLP
from rlcourse.nets.state import check_networks_state, load_networks_state_, networks_state


def parts(seed, hidden=4):
    generator = torch.Generator().manual_seed(seed)
    networks = {"one": MLP(3, (hidden,), 2, generator), "copy": MLP(3, (hidden,), 2, generator)}
    optimizers = {"one": torch.optim.Adam(networks["one"].parameters(), 0.1)}
    return networks, optimizers


def train_(networks, optimizers):
    loss = networks["one"](torch.ones(5, 3)).square().sum()
    optimizers["one"].zero_grad()
    loss.backward()
    optimizers["one"].step()
    return loss.item()


def test_training_goes_on_where_it_was():
    first, second = parts(0), parts(1)
    for _ in range(3):
        train_(*first)
    load_networks_state_(*second, networks_state(*first))
    assert [train_(*first) for _ in range(3)] == [train_(*second) for _ in range(3)]


def test_a_state_is_not_shared_with_who_loads_it():
    first, second = parts(0), parts(1)
    train_(*first)
    state = networks_state(*first)
    load_networks_state_(*second, state)
    moments = [x["exp_avg"].clone() for x in state["optimizers"]["one"]["state"].values()]
    train_(*second)
    kept = [x["exp_avg"] for x in state["optimizers"]["one"]["state"].values()]
    assert all(map(torch.equal, moments, kept))


def test_another_architecture_is_refused_whole():
    networks, optimizers = parts(0)
    before = [x.clone() for x in networks["one"].parameters()]
    with pytest.raises(ValueError, match=r"one\.layers\.0\.weight is \[5, 3\] there and \[4, 3\]"):
        load_networks_state_(networks, optimizers, networks_state(*parts(1, hidden=5)))
    assert all(map(torch.equal, before, networks["one"].parameters()))


def test_missing_and_additional_networks():
    networks, optimizers = parts(0)
    state = networks_state(networks, optimizers)
    with pytest.raises(ValueError, match=r"copy\..* is absent there and \["):
        check_networks_state(networks, {"networks": {"one": state["networks"]["one"]}})
    with pytest.raises(ValueError, match=r"copy\..* is \[4, 3\] there and absent here"):
        check_networks_state({"one": networks["one"]}, state)
    with pytest.raises(ValueError, match="absent there"):
        check_networks_state(networks, {"q": torch.zeros(2)})
