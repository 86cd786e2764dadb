# SPDX-License-Identifier: Apache-2.0
"""The movie ranker in plain Keras."""

from examples.movielens import dataset
from examples.movielens import keras_fit
from examples.movielens.model import Settings
from examples.movielens.paths import BUNDLED_DATA

import numpy as np
import pytest
import tensorflow as tf


def test_factorization_machine_sums_inner_products_of_pairs():
  vectors = np.random.default_rng(0).standard_normal((5, 4, 3)).astype(np.float32)
  expected = [[sum(row[i] @ row[j] for i in range(4) for j in range(i))] for row in vectors]
  np.testing.assert_allclose(keras_fit.FactorizationMachine()(tf.constant(vectors)), expected, rtol=1e-4)


def test_features_have_the_slices_of_the_trainers_model():
  features = keras_fit.make_features(Settings())
  assert {name: [part.output for part in feature.all_slices] for name, feature in features.items()} == {
    "user": ["bias", "vector"], "movie": ["bias", "vector"], "genre": ["bias", "vector"], "year": ["bias", "vector"],
    "user_genre": ["bias"], "liked": ["vector"],
  }  # fmt: skip


@pytest.mark.slow
def test_small_run_learns_saves_and_loads(tmp_path, capsys):
  value = keras_fit.main(["--small", "--model", str(tmp_path / "ranker.keras")])
  printed = capsys.readouterr().out
  assert value > 0.7
  assert f"Test AUC {value:.4f} after 88 steps; entries: {{'genre': 19" in printed
  assert "and loaded: it predicts the same." in printed


@pytest.mark.slow
def test_a_run_repeats():
  data = dataset.load(BUNDLED_DATA).first_users(5)
  runs = [keras_fit.train(data, Settings(epochs=2), verbose=0) for _ in range(2)]
  one, two = (model.predict(test, verbose=0) for model, test, _ in runs)
  np.testing.assert_array_equal(one, two)
