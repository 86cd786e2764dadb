# SPDX-License-Identifier: Apache-2.0
"""Nothing public is missing from the register, and the register lists nothing twice."""

import importlib
import inspect
import pkgutil

from conformance import cases
from conformance import register
import pytest

from monolith import core
from monolith.core import model as core_model
from monolith.native_training import entry
from monolith.native_training import layers
from monolith.native_training import losses
from monolith.native_training import optimizers
from monolith.native_training.layers import advanced_activations
from monolith.native_training.layers import mlp
from monolith.native_training.losses import inbatch_auc_loss
from monolith.native_training.losses import ltr_losses
from monolith.native_training.optimizers import adamom

import tensorflow as tf  # isort: skip


def _modules(package):
  """Yields the public modules of a package."""
  for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
    if not found.name.rsplit(".", 1)[1].startswith("_"):
      yield importlib.import_module(found.name)


def _own_layers():
  """Names of layer classes that the package or `core` exports or defines in a public module, without Keras' own."""
  exported = {v for n in layers.__all__ if isinstance(v := getattr(layers, n), type)}
  modules = [*_modules(layers), *_modules(core)]
  defined = {v for m in modules for v in vars(m).values() if isinstance(v, type)}
  ours = {
    c for c in exported | defined if issubclass(c, tf.keras.layers.Layer) and c.__module__.startswith("monolith.")
  }
  return {c.__name__ for c in ours if not c.__name__.startswith("_")}


def test_no_layer_is_missing():
  listed = {type(case.build()).__name__ for case in cases.LAYERS}
  missing = _own_layers() - listed - set(register.ABSTRACT)
  assert not missing, f"add {sorted(missing)} to tests/conformance/register.py"
  assert not set(register.ABSTRACT) & listed


def test_no_activation_is_missing():
  missing = advanced_activations.ALL_ACTIVATION_NAMES - set(cases.ACTIVATIONS)
  assert not missing, f"add {sorted(missing)} to tests/conformance/register.py"


def test_no_loss_is_missing():
  functions = {n for m in _modules(losses) for n, v in vars(m).items() if inspect.isfunction(v) and n.endswith("_loss")}
  keys = {v for k, v in vars(ltr_losses.RankingLossKey).items() if not k.startswith("_")}
  public = {name for name in functions if not name.startswith("_")} | keys
  missing = public - {case.id for case in cases.LOSSES}
  assert not missing, f"add {sorted(missing)} to tests/conformance/register.py"


def test_no_optimizer_is_missing():
  base = tf.compat.v1.train.Optimizer
  defined = {v for m in _modules(optimizers) for v in vars(m).values() if isinstance(v, type) and issubclass(v, base)}
  public = {c.__name__ for c in defined if c is not base and "._" not in c.__module__}
  missing = public - {case.id.split("-")[0] for case in cases.OPTIMIZERS}
  assert not missing, f"add {sorted(missing)} to tests/conformance/register.py"


def test_no_initializer_is_missing():
  public = {n for n, v in vars(entry).items() if isinstance(v, type) and issubclass(v, entry.Initializer)}
  missing = public - {"Initializer"} - {case.id for case in cases.INITIALIZERS}
  assert not missing, f"add {sorted(missing)} to tests/conformance/register.py"


def test_entries_are_named_once_and_after_their_class():
  for entries in (cases.LAYERS, cases.LOSSES, cases.OPTIMIZERS, cases.INITIALIZERS):
    ids = [case.id for case in entries]
    assert len(ids) == len(set(ids))
  for case in cases.LAYERS:
    if case.id not in cases.ACTIVATIONS:
      assert case.id.split("-")[0] == type(case.build()).__name__
  for case in cases.OPTIMIZERS:
    assert case.id.split("-")[0] == type(case.build(0.1)).__name__
  for case in cases.INITIALIZERS:
    assert case.id == type(case.build()).__name__


def test_skipped_tests_exist():
  from conformance import layers_test

  names = {n.removeprefix("test_") for n, v in vars(layers_test).items() if inspect.isfunction(v)}
  for case in cases.LAYERS:
    assert set(case.skip) <= names


# The register is told of what it misses.


def _class(base, module):
  return type("Forgotten", (base,), {"__module__": module.__name__})


def _forgotten_loss(labels, logits):
  return labels - logits


@pytest.mark.parametrize(
  "test, owner, name, value",
  [
    (test_no_layer_is_missing, mlp, "Forgotten", _class(tf.keras.layers.Layer, mlp)),
    (test_no_layer_is_missing, core_model, "Forgotten", _class(tf.keras.layers.Layer, core_model)),
    (test_no_loss_is_missing, inbatch_auc_loss, "forgotten_loss", _forgotten_loss),
    (test_no_loss_is_missing, ltr_losses.RankingLossKey, "FORGOTTEN_LOSS", "forgotten_loss"),
    (test_no_activation_is_missing, advanced_activations, "ALL_ACTIVATION_NAMES", {"relu", "forgotten"}),
    (test_no_optimizer_is_missing, adamom, "Forgotten", _class(tf.compat.v1.train.Optimizer, adamom)),
    (test_no_initializer_is_missing, entry, "Forgotten", _class(entry.Initializer, entry)),
  ],
  ids=["layer", "layer of core", "loss", "ranking loss", "activation", "optimizer", "initializer"],
)
def test_what_is_new_and_not_registered_fails(monkeypatch, test, owner, name, value):
  test()
  monkeypatch.setattr(owner, name, value, raising=False)
  with pytest.raises(AssertionError, match=r"add \['[Ff]orgotten(_loss)?'\] to tests/conformance/register.py"):
    test()
