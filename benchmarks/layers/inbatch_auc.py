# SPDX-License-Identifier: Apache-2.0
"""Microseconds of the pairwise loss of a batch, and of the same in TensorFlow ops, in one run.

python -m benchmarks.layers.inbatch_auc [--batches 256 2048 8192] [--positives 0.5 0.1] [--calls 30]

Two threads; every peer is a tf.function that has been traced before the clock starts:

  op        InbatchAucLoss, which stores no pair
  n by n    log_sigmoid of all n^2 differences, times a mask of the pairs
  p by n    the same of the pairs alone, after boolean_mask of both sides

Peers take turns call by call; times are medians. Values and gradients of all peers must agree, or the run fails.
One size of it, and the other losses, are cases of benchmarks.layers.speed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import report

import numpy as np

THREADS = 2
# All peers sum up to n^2 / 4 terms in float32, each in an order of its own.
TOLERANCE = 1e-4
# How much faster than n by n the op is to be at batch 2048.
TARGET_BATCH, TARGET_RATIO = 2048, 2.0


class BenchmarkError(RuntimeError):
  """A peer computes something else; the message says which and what."""


def make_batch(size: int, positives: float) -> tuple[np.ndarray, np.ndarray]:
  """Labels, of which a share is 1 and the rest 0, and logits as of a model that has learnt something."""
  generator = np.random.default_rng(size)
  labels = (generator.random(size) < positives).astype(np.float32)
  return labels, (generator.normal(size=size) + labels).astype(np.float32)


def n_by_n(labels: Any, logits: Any) -> Any:
  """The loss as one would write it down first."""
  import tensorflow as tf  # after the package that chooses its Keras

  pairs = labels[:, tf.newaxis] * (1.0 - labels)[tf.newaxis, :]
  return tf.reduce_sum(pairs * tf.math.log_sigmoid(logits[:, tf.newaxis] - logits[tf.newaxis, :]))


def p_by_n(labels: Any, logits: Any) -> Any:
  """The loss of the pairs alone."""
  import tensorflow as tf

  positives, negatives = tf.boolean_mask(logits, labels > 0), tf.boolean_mask(logits, labels <= 0)
  return tf.reduce_sum(tf.math.log_sigmoid(positives[:, tf.newaxis] - negatives[tf.newaxis, :]))


def peers() -> dict[str, Callable[[Any, Any], Any]]:
  """Peer -> loss of labels and logits."""
  from monolith.native_training.losses.inbatch_auc_loss import inbatch_auc_loss

  return {"op": inbatch_auc_loss, "n by n": n_by_n, "p by n": p_by_n}


def with_gradient(loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
  """Returns a function of labels and logits that gives the loss and its gradient."""
  import tensorflow as tf

  def both(labels: Any, logits: Any) -> Any:
    with tf.GradientTape() as tape:
      tape.watch(logits)
      value = loss(labels, logits)
    return value, tape.gradient(value, logits)

  return both


def check(results: dict[str, list[np.ndarray]]) -> None:
  """Raises BenchmarkError unless all peers gave what the first one did."""
  first, wanted = next(iter(results.items()))
  for peer, found in results.items():
    for a, b in zip(found, wanted, strict=True):
      scale = np.abs(b).max() + 1e-30
      if not np.abs(a - b).max() <= TOLERANCE * scale:
        raise BenchmarkError(f"{peer} differs from {first} by {np.abs(a - b).max() / scale:.1e} of the largest value.")


def measure(labels: np.ndarray, logits: np.ndarray, calls: int, gradient: bool) -> dict[str, float]:
  """Median microseconds of every peer.

  Raises:
    BenchmarkError: they do not compute the same.
  """
  import tensorflow as tf

  inputs = tf.constant(labels), tf.constant(logits)
  functions = {peer: tf.function(with_gradient(loss) if gradient else loss) for peer, loss in peers().items()}
  check({peer: [np.asarray(t) for t in tf.nest.flatten(f(*inputs))] for peer, f in functions.items()})
  seconds: dict[str, list[float]] = {peer: [] for peer in functions}
  for _ in range(calls):
    for peer, function in functions.items():
      begin = time.perf_counter()
      tf.nest.flatten(function(*inputs))[-1].numpy()
      seconds[peer].append(time.perf_counter() - begin)
  return {peer: statistics.median(taken) * 1e6 for peer, taken in seconds.items()}


def main(arguments: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
  parser.add_argument("--batches", type=int, nargs="+", default=[256, 2048, 8192])
  parser.add_argument("--positives", type=float, nargs="+", default=[0.5, 0.1], help="shares of positive rows")
  parser.add_argument("--calls", type=int, default=30)
  options = parser.parse_args(arguments)
  report.header("benchmarks.layers.inbatch_auc")
  from benchmarks.tables import tensorflow_tables

  tensorflow_tables.use_threads(THREADS)
  print(f"{'batch':>6} {'positives':>9} {'what':<18} {'op':>9} {'n by n':>9} {'p by n':>9}   ratios   (us a call)")
  reached = True
  for batch in options.batches:
    for positives in options.positives:
      labels, logits = make_batch(batch, positives)
      for gradient in (False, True):
        times = measure(labels, logits, options.calls, gradient)
        ratios = [times[peer] / times["op"] for peer in ("n by n", "p by n")]
        what = "forward + backward" if gradient else "forward"
        numbers = " ".join(f"{t:>9.0f}" for t in times.values())
        print(f"{batch:>6} {positives:>9.2f} {what:<18} {numbers}   {ratios[0]:.1f} {ratios[1]:.1f}", flush=True)
        reached = reached and (batch != TARGET_BATCH or ratios[0] >= TARGET_RATIO)
  print(f"target at batch {TARGET_BATCH}: {TARGET_RATIO} times n by n: {'reached' if reached else 'missed'}")
  return 0 if reached else 1


if __name__ == "__main__":
  sys.exit(main())
