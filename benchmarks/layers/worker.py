# SPDX-License-Identifier: Apache-2.0
"""Times a layer and its composition, or weighs one of them; speed.py runs it in a process of its own.

python -m benchmarks.layers.worker --case CASE [--peer ours|composition]

Both get the same inputs, weights and output gradients. With a peer, it prints how much memory that takes, and a
checksum. Without, both are timed in turns, call by call: what else the machine does, and how the allocator was left, is
the same for both. Functions are compiled (`tf.function`) and called before the clock starts. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from benchmarks import report
from benchmarks.layers import registry
from benchmarks.layers import ranking, sequences, towers  # noqa: F401  (register their cases)

import numpy as np
import tensorflow as tf

THREADS = 2
PEERS = ("ours", "composition")
WARM_UP = 5  # calls


def _weights_like(shapes: list[Any]) -> list[np.ndarray]:
  random = np.random.default_rng(1)
  return [(random.standard_normal(s) / np.sqrt(max(s[:-1], default=4))).astype(np.float32) for s in shapes]


def make_function(case: registry.Case, peer: str, inputs: Any) -> tuple[Any, list[tf.Variable]]:
  """Returns what computes the outputs from the inputs, and its weights, which are set."""
  layer = case.make()
  layer(inputs)
  weights = getattr(layer, "weights", [])
  values = _weights_like([tuple(w.shape) for w in weights])
  if peer == "ours":
    for weight, value in zip(weights, values, strict=True):
      weight.assign(value)
    return layer, list(weights)
  variables = [tf.Variable(value, trainable=w.trainable) for value, w in zip(values, weights, strict=True)]
  # Statistics stay variables, which a composition can update.
  return lambda inputs: case.composition(
    inputs, [tf.convert_to_tensor(v) if v.trainable else v for v in variables]
  ), variables


def checksum(tensors: Any) -> float:
  """Weighs every element by its place, so that elements in the wrong order differ; None, for no gradient, adds 0."""
  total = 0.0
  for tensor in tf.nest.flatten(tensors):
    if tensor is None:
      continue
    flat = tensor.numpy().ravel().astype(np.float64)
    total += float(np.abs(flat) @ (1 + np.arange(flat.size) % 7)) / max(flat.size, 1)
  return total


def _reset_peak() -> None:
  try:
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
      file.write("5")
  except OSError:
    pass  # then the peak counts from the start of the process


def _peak_bytes() -> int:
  with open("/proc/self/status", encoding="utf-8") as status:
    line = next(line for line in status if line.startswith("VmHWM"))
  return int(line.split()[1]) * 1024


Compiled = dict[str, Callable[[], Any]]


def compile_peer(name: str, peer: str, batch: int) -> tuple[Compiled, list[tf.Variable]]:
  """Returns what computes outputs ('forward'), or gradients of inputs and weights too ('both'), and the weights."""
  case = registry.CASES[name]
  inputs = tf.nest.map_structure(tf.constant, case.inputs(batch))
  function, weights = make_function(
    case, peer, tf.nest.map_structure(lambda t: t[:2] if len(t) == batch else t, inputs)
  )

  @tf.function(autograph=False)
  def forward(inputs):
    return function(inputs)

  outputs = forward(inputs)
  seeds = tf.nest.map_structure(lambda t: tf.constant(registry.arrays(t.shape[0], tuple(t.shape[1:]), seed=2)), outputs)

  @tf.function(autograph=False)
  def both(inputs):
    with tf.GradientTape() as tape:
      tape.watch(inputs)
      outputs = function(inputs)
    trained = [w for w in weights if w.trainable]
    return outputs, tape.gradient(outputs, [inputs, trained], output_gradients=seeds)

  return {"forward": lambda: forward(inputs), "both": lambda: both(inputs)}, weights


def weigh(name: str, peer: str, batch: int) -> dict[str, float]:
  """How many bytes the process grows by at its peak, and a checksum of outputs, gradients and statistics."""
  calls, weights = compile_peer(name, peer, batch)
  before = report.resident_bytes()
  _reset_peak()
  total = checksum([calls["both"](), [w for w in weights if not w.trainable]])
  calls["both"]()
  return {"checksum": total, "peak": _peak_bytes() - before}


def time_in_turns(name: str, batch: int, steps: int) -> dict[str, dict[str, list[float]]]:
  """Seconds of each peer's calls, forward and both."""
  compiled = {peer: compile_peer(name, peer, batch)[0] for peer in PEERS}
  times: dict[str, dict[str, list[float]]] = {peer: {"forward": [], "both": []} for peer in PEERS}
  for which in ("forward", "both"):
    for step in range(-WARM_UP, steps):
      # The second finds the inputs in the cache, so they swap places.
      for peer in PEERS if step % 2 else PEERS[::-1]:
        begin = time.perf_counter()
        compiled[peer][which]()
        if step >= 0:
          times[peer][which].append(time.perf_counter() - begin)
  return times


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--case", choices=registry.CASES, required=True)
  parser.add_argument("--peer", choices=PEERS)
  parser.add_argument("--batch", type=int, default=2048)
  parser.add_argument("--steps", type=int, default=20)
  arguments = parser.parse_args()
  tf.config.threading.set_intra_op_parallelism_threads(THREADS)
  tf.config.threading.set_inter_op_parallelism_threads(THREADS)
  if arguments.peer:
    print(json.dumps(weigh(arguments.case, arguments.peer, arguments.batch)))
  else:
    print(json.dumps(time_in_turns(arguments.case, arguments.batch, arguments.steps)))


if __name__ == "__main__":
  main()
