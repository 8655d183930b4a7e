import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from rlcourse.run.record import NonFiniteMetric, Record, load_config, load_metrics


@dataclass(frozen=True)
class Config:
    alpha: float = 0.1
    sizes: tuple[int, ...] = (3, 4)
    folder: Path = Path("data")


def lines(folder):
    return (folder / "metrics.jsonl").read_text().splitlines()


def test_metrics_come_back(tmp_path):
    record = Record(tmp_path / "run", Config())
    record.write(0, {"return": 1.5})
    record.write(10, {"return": torch.tensor(2.5), "loss": np.float32(0.5), "count": 3})
    record.write(20, {"per_seed": torch.tensor([1.0, 2.0])})
    metrics = load_metrics(tmp_path / "run")
    assert metrics["step"].dtype == np.int64
    np.testing.assert_array_equal(metrics["step"], [0, 10, 20])
    np.testing.assert_array_equal(metrics["return"], [1.5, 2.5, np.nan])
    np.testing.assert_array_equal(metrics["count"], [np.nan, 3, np.nan])
    np.testing.assert_array_equal(metrics["per_seed"], [[np.nan] * 2] * 2 + [[1.0, 2.0]])


def test_a_float32_tensor_loses_nothing(tmp_path):
    value = torch.tensor(0.1)
    Record(tmp_path, {}).write(0, {"x": value})
    assert torch.tensor(load_metrics(tmp_path)["x"][0], dtype=torch.float32) == value


def test_an_empty_record(tmp_path):
    record = Record(tmp_path, {})
    assert record.last_step is None
    assert list(load_metrics(tmp_path)) == ["step"]
    with pytest.raises(FileNotFoundError, match="run the experiment first"):
        load_metrics(tmp_path / "absent")


def test_appending_after_reopening(tmp_path):
    Record(tmp_path, Config()).write(5, {"x": 1})
    record = Record(tmp_path, Config())
    assert record.last_step == 5
    record.write(6, {"x": 2})
    np.testing.assert_array_equal(load_metrics(tmp_path)["x"], [1, 2])


def test_config_beside_the_metrics(tmp_path):
    Record(tmp_path, Config())
    assert load_config(tmp_path) == {"alpha": 0.1, "sizes": [3, 4], "folder": "data"}


def test_another_config_names_the_fields(tmp_path):
    Record(tmp_path, Config()).write(0, {"x": 1})
    with pytest.raises(ValueError, match=r"alpha: 0.1 there, 0.2 here\): choose another folder"):
        Record(tmp_path, Config(alpha=0.2))
    with pytest.raises(ValueError, match=r"new: '\(absent\)' there, 1 here"):
        Record(tmp_path, {"alpha": 0.1, "sizes": [3, 4], "folder": "data", "new": 1})
    assert len(lines(tmp_path)) == 1


def test_a_config_that_json_cannot_hold(tmp_path):
    with pytest.raises(TypeError, match="field 'net' is not plain"):
        Record(tmp_path, {"net": torch.nn.Linear(1, 1)})
    with pytest.raises(TypeError, match="dataclass instance or a mapping"):
        Record(tmp_path, Config)


def test_a_damaged_config(tmp_path):
    Record(tmp_path, Config())
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json is damaged.*choose another folder"):
        Record(tmp_path, Config())


def test_a_torn_last_line_is_named_and_dropped(tmp_path):
    Record(tmp_path, {}).write(1, {"x": 1})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 2, "x"')
    with pytest.warns(UserWarning, match=r"last line of .*metrics.jsonl is torn"):
        np.testing.assert_array_equal(load_metrics(tmp_path)["step"], [1])
    with pytest.warns(UserWarning, match="torn and is dropped"):
        record = Record(tmp_path, {})
    record.write(2, {"x": 2})
    np.testing.assert_array_equal(load_metrics(tmp_path)["x"], [1, 2])


@pytest.mark.parametrize("line", ["nonsense", "3", '{"x": 1}', ""])
def test_a_damaged_line_in_the_middle(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
    with pytest.raises(ValueError, match="line 2 of .* is damaged.*delete that line"):
        load_metrics(tmp_path)


def test_rewind(tmp_path):
    record = Record(tmp_path, {})
    for step in range(5):
        record.write(step, {"x": step / 3})
    before = lines(tmp_path)
    record.rewind(2)
    assert lines(tmp_path) == before[:3]
    record.write(3, {"x": 3 / 3})
    assert lines(tmp_path) == before[:4]
    record.rewind(-1)
    assert lines(tmp_path) == []
    assert record.last_step is None


def test_steps_do_not_go_back(tmp_path):
    record = Record(tmp_path, {})
    record.write(5, {"x": 1})
    record.write(5, {"y": 1})
    with pytest.raises(ValueError, match="step 4 comes after step 5"):
        record.write(4, {"x": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), torch.tensor([1.0, torch.nan])])
def test_a_non_finite_metric(tmp_path, value):
    record = Record(tmp_path, {})
    message = r"'loss' is .* at step 7; the last good checkpoint is .*c\.pt.*smaller learning rate"
    with pytest.raises(NonFiniteMetric, match=message):
        record.write(7, {"loss": value, "return": 1.0}, last_checkpoint=Path("c.pt"))
    assert json.loads(lines(tmp_path)[0]) == {"step": 7, "return": 1.0}
    with pytest.raises(NonFiniteMetric, match="no checkpoint was kept"):
        record.write(8, {"loss": value})


def test_metrics_of_wrong_shapes(tmp_path):
    record = Record(tmp_path, {})
    with pytest.raises(ValueError, match=r"'x' has shape \[2, 2\]"):
        record.write(0, {"x": torch.zeros(2, 2)})
    record.write(0, {"x": [1.0, 2.0]})
    record.write(1, {"x": [1.0]})
    with pytest.raises(ValueError, match="'x' changes its length"):
        load_metrics(tmp_path)


def test_an_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="choose a folder that you may write"):
        Record(tmp_path / "file" / "run", {})
    with pytest.raises(OSError, match="choose a folder that you may write"):
        Record(tmp_path / "file", {})
