# SPDX-License-Identifier: Apache-2.0
"""Trains the movie ranker, measures it, exports it, and asks the export for movies.

    python -m examples.movielens

Beside the model whose every id has a vector of its own, the same model is trained on ids hashed into 512
buckets a slot, which is what a table of fixed size makes of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from typing import Optional, Sequence

from monolith.native_training import cpu_training
from monolith.native_training import estimator

import numpy as np
import tensorflow as tf

from examples.movielens import dataset
from examples.movielens.features import FeatureBuilder
from examples.movielens.model import BatchSource, MovieRanker, Settings
from examples.movielens.paths import BUNDLED_DATA, IMPORT_ROOT

HASH_BUCKETS = 512
SMALL_USERS = 20


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
  """Share of (liked, not liked) pairs that the scores put in the right order; a tie counts half.

  Args:
    labels: [n], 1 or 0.
    scores: [n].

  Raises:
    ValueError: all labels are equal.
  """
  liked = labels > 0
  num_liked, num_others = int(liked.sum()), int((~liked).sum())
  if not num_liked or not num_others:
    raise ValueError(f"auc: {num_liked} liked and {num_others} other ratings; there must be both.")
  _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
  ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
  return float((ranks[liked].sum() - num_liked * (num_liked + 1) / 2) / (num_liked * num_others))


class Experiment:
  """One data set, and the models that are trained on it.

  Args:
    data: all ratings; the latest fifth of each user's is the test set.
    model_dir: a directory; each model gets one inside.
    num_ps: parameter servers of the training; 0 keeps the tables in the process.
    settings: of all models; the defaults when None.
    steps: training steps; None goes through the ratings `settings.epochs` times.
  """

  def __init__(
    self,
    data: dataset.MovieLens,
    model_dir: str,
    num_ps: int = 0,
    settings: Optional[Settings] = None,
    steps: Optional[int] = None,
  ):
    self.data = data
    self.is_test = dataset.last_fifth(data.users, data.timestamps)
    self._model_dir = model_dir
    self._num_ps = num_ps
    self._settings = settings or Settings()
    self._steps = steps

  def model(self, hash_buckets: Optional[int] = None) -> MovieRanker:
    """A model on ids of their own, or on hashed ones."""
    builder = FeatureBuilder(self.data, self.is_test, hash_buckets=hash_buckets)
    source = BatchSource(builder, self.data.liked, np.flatnonzero(~self.is_test), np.flatnonzero(self.is_test))
    return MovieRanker(source, self._settings)

  def directory(self, hash_buckets: Optional[int] = None) -> str:
    """Where a model's checkpoints and summaries go."""
    return os.path.join(self._model_dir, f"hashed_{hash_buckets}" if hash_buckets else "own_ids")

  def train(self, hash_buckets: Optional[int] = None) -> None:
    """Trains a model from the start."""
    # Without looking ahead a run repeats exactly.
    cpu_training.local_train(
      self.model(hash_buckets),
      num_ps=self._num_ps,
      model_dir=self.directory(hash_buckets),
      steps=self._steps,
      save_checkpoints_steps=10000,
      enable_embedding_prefetch=False,
      enable_embedding_postpush=False,
    )

  def predict(self, hash_buckets: Optional[int] = None) -> np.ndarray:
    """float32 [test ratings]: what the trained model says of the test set."""
    batches = self._estimator(hash_buckets).predict(yield_single_examples=False)
    return np.concatenate(list(batches))

  def _estimator(self, hash_buckets: Optional[int]) -> estimator.Estimator:
    config = estimator.RunConfig(is_local=True, num_ps=self._num_ps, model_dir=self.directory(hash_buckets))
    return estimator.Estimator(self.model(hash_buckets), config)

  def test_auc(self, hash_buckets: Optional[int] = None) -> float:
    """Of the trained model, on the test set."""
    return auc(self.data.liked[self.is_test], self.predict(hash_buckets))

  def export(self) -> str:
    """Exports the model of own ids; returns the export's directory."""
    return self._estimator(None).export_saved_model().decode()


def recommend_in_new_process(export_dir: str, data: str, user: int, max_users: Optional[int] = None) -> str:
  """What `python -m examples.movielens.recommend` prints for a user."""
  path = os.pathsep.join(filter(None, [IMPORT_ROOT, os.environ.get("PYTHONPATH")]))
  command = [
    sys.executable,
    "-m",
    "examples.movielens.recommend",
    "--export",
    export_dir,
    "--data",
    os.path.abspath(data),
    "--user",
    str(user),
  ]
  if max_users is not None:
    command += ["--max_users", str(max_users)]
  done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
  if done.returncode:
    raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
  return done.stdout


def _options(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
  defaults = Settings()
  parser = argparse.ArgumentParser(prog="python -m examples.movielens", description=__doc__.splitlines()[0])
  parser.add_argument(
    "--data", default=BUNDLED_DATA, help="MovieLens folder or zip file in any layout; default: the bundled one"
  )
  parser.add_argument(
    "--model_dir", default=None, help="for checkpoints, summaries and exports; default: a new directory"
  )
  parser.add_argument("--num_ps", type=int, default=0, help="parameter servers; default: %(default)s")
  parser.add_argument(
    "--epochs", type=int, default=defaults.epochs, help="passes through the training ratings; default: %(default)s"
  )
  parser.add_argument("--steps", type=int, default=None, help="stop after so many steps")
  parser.add_argument(
    "--batch_size", type=int, default=defaults.batch_size, help="ratings a step; default: %(default)s"
  )
  parser.add_argument("--seed", type=int, default=defaults.seed, help="default: %(default)s")
  parser.add_argument("--user", type=int, default=None, help="whom to recommend movies to; default: the first user")
  parser.add_argument(
    "--small", action="store_true", help=f"only the first {SMALL_USERS} users: seconds instead of minutes"
  )
  return parser.parse_args(arguments)


def quiet_tensorflow() -> None:
  """Leaves errors only of what TensorFlow's Python code logs: its own optimizers call what it calls deprecated."""
  tf.get_logger().setLevel("ERROR")


def main(arguments: Optional[Sequence[str]] = None) -> float:
  """Runs the whole; returns the test AUC of the model of own ids."""
  options = _options(arguments)
  settings = Settings(epochs=options.epochs, batch_size=options.batch_size, seed=options.seed)
  data = dataset.load(options.data)
  max_users = SMALL_USERS if options.small else None
  if max_users is not None:
    data = data.first_users(max_users)
  model_dir = options.model_dir or tempfile.mkdtemp(prefix="movielens-")
  experiment = Experiment(data, model_dir, options.num_ps, settings, options.steps)
  print(
    f"{len(data)} ratings by {len(np.unique(data.users))} users of "
    f"{len(np.unique(data.movies))} movies; the latest fifth of each user's, "
    f"{int(experiment.is_test.sum())}, is the test set."
  )
  results = {}
  for title, buckets in (("every id its own vector", None), (f"ids hashed into {HASH_BUCKETS} buckets", HASH_BUCKETS)):
    print(f"\nTraining: {title}. TensorBoard: tensorboard --logdir {experiment.directory(buckets)}")
    experiment.train(buckets)
    results[title] = experiment.test_auc(buckets)
  print("\nTest AUC")
  for title, value in results.items():
    print(f"  {title:<30} {value:.4f}")
  export_dir = experiment.export()
  print(f"\nExported to {export_dir}; a new process loads it:\n")
  user = int(data.users[0]) if options.user is None else options.user
  print(recommend_in_new_process(export_dir, options.data, user, max_users), end="")
  return results["every id its own vector"]


if __name__ == "__main__":
  main()
