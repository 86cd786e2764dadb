# SPDX-License-Identifier: Apache-2.0
"""Times layers and their compositions, or weighs them; speed.py runs it, once for each, in a process of its own.

python -m benchmarks.layers.worker weigh|time --cases CASE ... [--batch 2048] [--steps 40] [--seconds 1]

Both get the same inputs, weights and output gradients. `weigh` says how much memory each takes, and checksums. `time`
times both in turns, call by call: what else the machine does, and how the allocator was left, is the same for both.
Functions are compiled (`tf.function`) and called before the clock starts. Prints one line of JSON a case.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from benchmarks import report
from benchmarks.layers import registry
from benchmarks.layers import losses, optimizers, ranking, sequences, towers  # noqa: F401  (register their cases)

import numpy as np
import tensorflow as tf

THREADS = 2
PEERS = ("ours", "composition")
WARM_UP, LEAST_STEPS = 5, 8  # calls


def _weights_like(weights: list[Any]) -> list[np.ndarray]:
  """Statistics and optimizer state, which no gradient trains, are not negative."""
  random = np.random.default_rng(1)
  shapes = [tuple(w.shape) for w in weights]
  values = [(random.standard_normal(s) / np.sqrt(max(s[:-1], default=4))).astype(np.float32) for s in shapes]
  return [value if w.trainable else abs(value) for value, w in zip(values, weights, strict=True)]


def make_function(case: registry.Case, peer: str, inputs: Any) -> tuple[Any, list[tf.Variable]]:
  """Returns what computes the outputs from the inputs, and its weights, which are set."""
  layer = case.make()
  layer(inputs)
  weights = getattr(layer, "weights", [])
  values = _weights_like(weights)
  if peer == "ours":
    for weight, value in zip(weights, values, strict=True):
      weight.assign(value)
    return layer, list(weights)
  variables = [tf.Variable(value, trainable=w.trainable) for value, w in zip(values, weights, strict=True)]
  # Statistics stay variables, which a composition can update.
  return lambda inputs: case.composition(
    inputs, [tf.convert_to_tensor(v) if v.trainable else v for v in variables]
  ), variables


def checksums(tensors: Any) -> list[float]:
  """A number a tensor, which weighs every element by its place, so that elements in the wrong order differ.

  None, for no gradient, gives 0.
  """
  sums = []
  for tensor in tf.nest.flatten(tensors):
    flat = np.zeros(0) if tensor is None else tensor.numpy().ravel().astype(np.float64)
    sums.append(float(np.abs(flat) @ (1 + np.arange(flat.size) % 7)) / max(flat.size, 1))
  return sums


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

  passes = {"forward": lambda: forward(inputs), "both": lambda: both(inputs)}
  return {which: passes[which] for which in case.passes}, weights


def weigh(name: str, peer: str, batch: int) -> dict[str, Any]:
  """How many bytes the process grows by at its peak, and checksums of outputs, gradients and statistics."""
  calls, weights = compile_peer(name, peer, batch)
  last = calls[registry.CASES[name].passes[-1]]
  before = report.resident_bytes()
  with contextlib.suppress(OSError):  # then the peak counts from the start of the process
    report.forget_peak()
  sums = checksums([last(), [w for w in weights if not w.trainable]])
  last()
  return {"checksums": sums, "peak": report.peak_bytes() - before}


def in_a_child(function: Callable[[], Any]) -> Any:
  """Returns what a function returns in a fork of this process, as JSON keeps it: memory that it leaves is gone with it.

  Requires: TensorFlow has not run an op yet, for its threads are not in the fork.

  Raises:
    RuntimeError: the child fails; its traceback went to the standard error.
  """
  reader, writer = os.pipe()
  child = os.fork()
  if not child:
    status = 1
    try:
      with open(writer, "w", encoding="utf-8") as file:
        json.dump(function(), file)
      status = 0
    except BaseException:  # noqa: BLE001  the child must not go on as its parent
      traceback.print_exc()
    finally:
      sys.stderr.flush()
      os._exit(status)
  os.close(writer)
  with open(reader, encoding="utf-8") as file:
    text = file.read()
  if os.waitpid(child, 0)[1]:
    raise RuntimeError("a child failed; its traceback is above.")
  return json.loads(text)


def time_in_turns(name: str, batch: int, steps: int, seconds: float) -> dict[str, dict[str, list[float]]]:
  """Seconds of each peer's calls, in each pass: `steps` of them, or as many as begin in `seconds`."""
  compiled = {peer: compile_peer(name, peer, batch)[0] for peer in PEERS}
  passes = registry.CASES[name].passes
  times: dict[str, dict[str, list[float]]] = {peer: {which: [] for which in passes} for peer in PEERS}
  for which in passes:
    end = time.perf_counter() + seconds
    for step in range(-WARM_UP, steps):
      # The second finds the inputs in the cache, so they swap places.
      for peer in PEERS if step % 2 else PEERS[::-1]:
        begin = time.perf_counter()
        compiled[peer][which]()
        if step >= 0:
          times[peer][which].append(time.perf_counter() - begin)
      if step >= LEAST_STEPS and time.perf_counter() > end:
        break
  return times


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("what", choices=["weigh", "time"])
  parser.add_argument("--cases", choices=registry.CASES, nargs="+", required=True)
  parser.add_argument("--batch", type=int, default=2048)
  parser.add_argument("--steps", type=int, default=40)
  parser.add_argument("--seconds", type=float, default=1.0)
  arguments = parser.parse_args()
  tf.config.threading.set_intra_op_parallelism_threads(THREADS)
  tf.config.threading.set_inter_op_parallelism_threads(THREADS)
  for name in arguments.cases:
    if arguments.what == "weigh":
      result: Any = {peer: in_a_child(functools.partial(weigh, name, peer, arguments.batch)) for peer in PEERS}
    else:
      result = time_in_turns(name, arguments.batch, arguments.steps, arguments.seconds)
    print(json.dumps({"case": name, "result": result}), flush=True)


if __name__ == "__main__":
  main()
