# SPDX-License-Identifier: Apache-2.0
"""Model files written as for the system that this one rebuilds, with one line added, train, predict and export."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest
import tensorflow as tf

from monolith.native_training.runtime.ops import gen_monolith_ops  # noqa: F401  (an export needs the ops)

_HERE = pathlib.Path(__file__).parent
_RATINGS = _HERE.parents[1] / "examples" / "movielens" / "data" / "ml-latest-small" / "ratings.csv"


def _run(script, *arguments):
  done = subprocess.run([sys.executable, str(_HERE / script), *arguments], capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr[-3000:]
  return done.stdout


def test_one_line_is_added():
  for script in ("tutorial.py", "several_heads.py"):
    lines = [line for line in (_HERE / script).read_text().splitlines() if "the added line" in line]
    assert lines == ['__import__("monolith").enable_tf_estimator_names()  # the added line']


@pytest.mark.slow
def test_tutorial(tmp_path):
  output = _run("tutorial.py", "--ratings", str(_RATINGS), "--output", str(tmp_path))
  # The mean rating of the data is 3.50.
  assert float(re.search(r"mean prediction (\S+)", output)[1]) == pytest.approx(3.5, abs=0.3)
  assert (tmp_path / "ckpt.info-120").exists()


@pytest.mark.slow
@pytest.mark.parametrize("num_ps", [0, 2])
def test_several_heads_shared_slots_and_an_extra_output(tmp_path, num_ps):
  output = _run("several_heads.py", "--output", str(tmp_path), "--ps", str(num_ps))
  # Lookups run ahead and updates behind, as far as the machine's load lets them.
  assert float(re.search(r"auc (\S+)", output)[1]) > 0.85
  exported = re.search(r"exported b'(\S+)'", output)[1]
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    graph = tf.compat.v1.saved_model.load(session, ["serve"], exported)
    assert {"serving_default", "user_vector"} <= set(graph.signature_def)
    signature = graph.signature_def["user_vector"]
    feeds = {signature.inputs[name].name: [[1 << 48]] for name in signature.inputs}
    assert session.run(signature.outputs["user"].name, feeds).shape == (1, 8)
