# SPDX-License-Identifier: Apache-2.0
"""What `import monolith` does, and the short module names that existing model code uses."""

import importlib
import os
import subprocess
import sys

import pytest

import monolith
from monolith import _aliases


def _python(code, **environment):
  inherited = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
  env = {**inherited, "TF_CPP_MIN_LOG_LEVEL": "2", **environment}
  done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
  assert done.returncode == 0, done.stderr
  return done


@pytest.mark.parametrize("alias", sorted(_aliases.ALIASES))
def test_alias_is_the_module_it_stands_for(alias):
  module = importlib.import_module(alias)
  assert module is importlib.import_module(_aliases.ALIASES[alias])
  assert module.__name__ == module.__spec__.name == _aliases.ALIASES[alias]
  assert getattr(monolith, alias.split(".")[1]) is module


def test_names_below_an_alias_are_the_same_modules():
  from monolith.layers.mlp import MLP
  from monolith.native_training.layers import mlp

  assert MLP is mlp.MLP
  assert sys.modules["monolith.layers.mlp"] is mlp


def test_unknown_names_are_refused_as_ever():
  with pytest.raises(AttributeError, match="module 'monolith' has no attribute 'laiers'"):
    monolith.laiers  # noqa: B018
  with pytest.raises(ModuleNotFoundError, match="monolith.native_training.layers.nothing"):
    importlib.import_module("monolith.layers.nothing")


def test_importing_the_package_imports_no_tensorflow():
  _python("import monolith, sys; assert 'tensorflow' not in sys.modules")


def test_keras_is_keras_2_also_when_tensorflow_came_first():
  _python("import tensorflow as tf, monolith; assert tf.keras.layers.Dense.__module__.startswith('tf_keras')")


@pytest.mark.parametrize(
  "environment, remedy",
  [({}, "import monolith before the first use"), ({"TF_USE_LEGACY_KERAS": "0"}, "unset the variable")],
)
def test_one_warning_where_keras_is_keras_3_already(environment, remedy):
  code = """
import warnings, tensorflow as tf
tf.keras.layers
with warnings.catch_warnings(record=True) as caught:
  warnings.simplefilter("always")
  import monolith
print([str(w.message) for w in caught if "Keras 3" in str(w.message) or "Keras 2" in str(w.message)])
"""
  out = _python(code, **environment).stdout
  assert out.count("tf.keras is") == 1 and remedy in out, out


def test_old_estimator_names_are_there_after_one_line():
  _python(
    "import monolith; monolith.enable_tf_estimator_names()\n"
    "import tensorflow as tf; assert tf.estimator.ModeKeys.TRAIN == 'train'"
  )
