# SPDX-License-Identifier: Apache-2.0
"""The movie ranker end to end."""

import os

from examples.movielens import dataset
from examples.movielens import recommend
from examples.movielens import train
from examples.movielens.model import Settings, to_examples
from examples.movielens.paths import BUNDLED_DATA
from monolith.native_training import cpu_training
from monolith.native_training.cpu_training import CpuTrainingConfig

import event_files
import numpy as np
import pytest


@pytest.fixture(name="data", scope="module")
def _data():
  return dataset.load(BUNDLED_DATA).first_users(8)


def test_auc():
  assert train.auc(np.array([1, 0, 1, 0]), np.array([0.9, 0.1, 0.8, 0.2])) == 1
  assert train.auc(np.array([1, 0, 1, 0]), np.array([0.9, 0.9, 0.1, 0.2])) == pytest.approx(0.375)
  assert train.auc(np.array([0, 1]), np.array([0.5, 0.5])) == 0.5
  with pytest.raises(ValueError, match="2 liked and 0 other"):
    train.auc(np.array([1, 1]), np.array([0.5, 0.5]))


@pytest.mark.slow
def test_export_predicts_what_the_live_model_predicted(data, tmp_path):
  experiment = train.Experiment(data, str(tmp_path), settings=Settings(epochs=1))
  experiment.train()
  live = experiment.predict()
  test_rows = np.flatnonzero(experiment.is_test)
  builder = experiment.model().source._builder
  exported = recommend.predict(experiment.export(), to_examples(builder.batch(test_rows)))
  assert len(live) == len(test_rows) > 50 and live.std() > 1e-3
  np.testing.assert_allclose(exported, live, atol=1e-6)


@pytest.mark.slow
def test_a_run_repeats_and_servers_change_nothing(data, tmp_path):
  predictions = []
  for name, num_ps in (("a", 0), ("b", 0), ("c", 2)):
    experiment = train.Experiment(data, str(tmp_path / name), num_ps, Settings(epochs=1))
    experiment.train()
    predictions.append(experiment.predict())
  np.testing.assert_array_equal(predictions[1], predictions[0])
  np.testing.assert_allclose(predictions[2], predictions[0], atol=1e-5)


@pytest.fixture(name="curve", scope="module")
def _curve(data, tmp_path_factory):
  """A function of settings: the losses of 50 steps."""

  def run(**settings):
    model_dir = tmp_path_factory.mktemp("curve")
    config = CpuTrainingConfig(save_summary_steps=1, save_checkpoints_steps=10**6, **settings)
    model = train.Experiment(data, str(model_dir), settings=Settings(epochs=13)).model()
    cpu_training.local_train_internal(model, config, str(model_dir), steps=50)
    return event_files.losses(model_dir)

  return run


@pytest.fixture(name="plain_curve", scope="module")
def _plain_curve(curve):
  return curve(fuse_lookups=False)


@pytest.mark.slow
@pytest.mark.parametrize("num_ps", [0, 1, 2, 5])
@pytest.mark.parametrize("fuse_lookups", [True, False])
def test_every_path_has_one_loss_curve(curve, plain_curve, num_ps, fuse_lookups):
  assert len(plain_curve) == 50 and np.mean(plain_curve[-10:]) < plain_curve[0]
  np.testing.assert_allclose(curve(num_ps=num_ps, fuse_lookups=fuse_lookups), plain_curve, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("num_ps", ["0", "2"])
def test_small_run_prints_both_aucs_and_ten_movies(num_ps, tmp_path, capfd):
  value = train.main(["--small", "--num_ps", num_ps, "--model_dir", str(tmp_path)])
  printed = capfd.readouterr().out
  assert value > 0.7
  assert f"every id its own vector        {value:.4f}" in printed
  assert "ids hashed into 512 buckets    0." in printed
  listed = printed[printed.index("Best 10 movies that user 1") :].splitlines()[1:]
  assert len(listed) == 10 and listed[0].startswith("   1. 0.")
  assert any(name.startswith("events.out") for name in os.listdir(tmp_path / "own_ids"))


@pytest.mark.slow
def test_own_vectors_reach_the_promised_auc(tmp_path):
  value = train.main(["--model_dir", str(tmp_path)])
  assert value >= 0.77


@pytest.mark.slow
def test_other_layouts_train_too(tmp_path):
  source = dataset.load(BUNDLED_DATA).first_users(8)
  (tmp_path / "ml-1m").mkdir()
  (tmp_path / "ml-1m" / "ratings.dat").write_text(
    "".join(
      f"{u}::{m}::{r:g}::{t}\n"
      for u, m, r, t in zip(source.users, source.movies, source.ratings, source.timestamps, strict=True)
    )
  )
  (tmp_path / "ml-1m" / "movies.dat").write_text(
    "".join(f"{m}::{source.titles[m]}::{'|'.join(source.genres[m])}\n" for m in source.titles),
    encoding="latin-1",
    errors="replace",
  )
  value = train.main(["--data", str(tmp_path / "ml-1m"), "--epochs", "1", "--model_dir", str(tmp_path / "m")])
  assert 0.4 < value < 1
