# SPDX-License-Identifier: Apache-2.0
"""Asks an exported model for the movies a user will like best, among those the user has not rated.

    python -m examples.movielens.recommend --export DIR --user 1

Needs nothing of the training program but the export and the data set.
"""

from __future__ import annotations

import argparse
from typing import List, NamedTuple, Optional, Sequence

# Loads the op library, without which TensorFlow cannot read the export.
from monolith.native_training.runtime.ops import gen_monolith_ops  # noqa: F401

import numpy as np
import tensorflow as tf

from examples.movielens import dataset
from examples.movielens.features import FeatureBuilder
from examples.movielens.model import to_examples
from examples.movielens.paths import BUNDLED_DATA


class Recommendation(NamedTuple):
  """One movie and how probably the user rates it with at least four stars."""

  movie: int
  title: str
  score: float


def predict(export_dir: str, examples: Sequence[bytes], batch_size: int = 4096) -> np.ndarray:
  """float32 [examples]: what the default signature of an export answers."""
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    model = tf.compat.v1.saved_model.load(session, [tf.saved_model.SERVING], export_dir)
    signature = model.signature_def[tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY]
    run = session.make_callable(signature.outputs["output"].name, [signature.inputs["examples"].name])
    parts = [run(list(examples[i : i + batch_size])) for i in range(0, len(examples), batch_size)]
  return np.concatenate(parts) if parts else np.zeros([0], np.float32)


def recommend(
  export_dir: str, data: dataset.MovieLens, builder: FeatureBuilder, user: int, count: int = 10
) -> List[Recommendation]:
  """The best `count` movies that `user` has not rated, best first.

  Raises:
    KeyError: the data set has no such user.
  """
  rated = data.movies[data.users == user]
  movies = np.setdiff1d(np.unique(data.movies), rated)
  scores = predict(export_dir, to_examples(builder.pairs(user, movies)))
  best = np.argsort(-scores, kind="stable")[:count]
  return [
    Recommendation(int(movies[i]), data.titles.get(int(movies[i]), f"movie {movies[i]}"), float(scores[i]))
    for i in best
  ]


def main(arguments: Optional[Sequence[str]] = None) -> None:
  """Prints the list."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--export", required=True, help="directory of the exported model")
  parser.add_argument("--data", default=BUNDLED_DATA, help="MovieLens folder or zip file")
  parser.add_argument("--user", type=int, required=True, help="whom to recommend movies to")
  parser.add_argument("--count", type=int, default=10, help="how many")
  parser.add_argument("--max_users", type=int, default=None, help="read only the first users")
  options = parser.parse_args(arguments)
  data = dataset.load(options.data)
  if options.max_users is not None:
    data = data.first_users(options.max_users)
  builder = FeatureBuilder(data, dataset.last_fifth(data.users, data.timestamps))
  print(f"Best {options.count} movies that user {options.user} has not rated:")
  for place, each in enumerate(recommend(options.export, data, builder, options.user, options.count), 1):
    print(f"{place:4d}. {each.score:.4f}  {each.title}")


if __name__ == "__main__":
  main()
