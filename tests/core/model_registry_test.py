# SPDX-License-Identifier: Apache-2.0
"""Registering models and importing the modules that do."""

import sys

import pytest

from monolith.core import base_model_params, hyperparams, model_imports, model_registry


@pytest.fixture(autouse=True)
def _empty_registry(monkeypatch):
  monkeypatch.setattr(model_registry, "_MODELS", {})


@pytest.fixture
def package(tmp_path, monkeypatch):
  """Makes modules importable for one test; returns a function that writes one."""
  monkeypatch.syspath_prepend(str(tmp_path))
  before = set(sys.modules)

  def write(name, text):
    path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

  yield write
  for name in set(sys.modules) - before:
    del sys.modules[name]


def _model(name="Small", module="my_models"):
  def task(self):
    p = hyperparams.InstantiableParams()
    p.define("size", 3, "")
    return p

  return type(name, (base_model_params.SingleTaskModelParams,), {"task": task, "__module__": module})


_SOURCE = """
from monolith.core import base_model_params, hyperparams, model_registry

@model_registry.RegisterSingleTaskModel
class Small(base_model_params.SingleTaskModelParams):
  def task(self):
    p = hyperparams.InstantiableParams()
    p.define("size", 3, "")
    return p
"""


def test_registered_under_both_names():
  cls = _model(module="monolith.tasks.ranking.params.small")
  assert model_registry.RegisterSingleTaskModel(cls) is cls
  assert model_registry.GetAllRegisteredClasses() == {
    "monolith.tasks.ranking.params.small.Small": cls,
    "ranking.small.Small": cls,
  }
  assert model_registry.GetClass("ranking.small.Small") is cls
  assert model_registry.GetParams("ranking.small.Small").size == 3


def test_duplicates_are_refused():
  model_registry.RegisterSingleTaskModel(_model())
  with pytest.raises(ValueError, match=r"^Duplicate model registered for key my_models\.Small: my_models\.Small$"):
    model_registry.RegisterSingleTaskModel(_model())


@pytest.mark.parametrize("thing", [int, 3])
def test_other_things_are_refused(thing):
  with pytest.raises(TypeError, match="is not a SingleTaskModelParams"):
    model_registry.RegisterSingleTaskModel(thing)


def test_unknown_model():
  with pytest.raises(LookupError, match=r"^Model no\.such not found from list of above known models\.$"):
    model_registry.GetClass("no.such")


def test_module_is_imported_on_demand(package):
  package("found_models", _SOURCE)
  assert model_registry.GetParams("found_models.Small").size == 3


def test_empty_registry_warns(monkeypatch):
  warned = []
  monkeypatch.setattr(model_registry.logging, "warning", lambda *args: warned.append(args))
  assert model_registry.GetAllRegisteredClasses() == {} and warned


def test_import_says_whether_it_worked(package):
  package("plain_module", "")
  assert model_imports._Import("plain_module") is True
  assert model_imports._Import("no_such_module") is False


def test_errors_inside_a_module_are_not_hidden(package):
  package("broken_module", "1 / 0")
  with pytest.raises(ZeroDivisionError):
    model_imports._Import("broken_module")


def test_all_params_of_the_tasks(package):
  package("tree.ranking.params.params", _SOURCE)
  assert model_imports.ImportAllParams("tree", ["none", "ranking"], require_success=True) is True
  assert "tree.ranking.params.params.Small" in model_registry.GetAllRegisteredClasses()
  assert model_imports.ImportAllParams("tree", ["none"]) is False
  with pytest.raises(LookupError, match="tried tree.none.params.params"):
    model_imports.ImportAllParams("tree", ["none"], require_success=True)


def test_params_of_one_model(package):
  package("tree.ranking.params.small", _SOURCE)
  assert model_imports.ImportParams("ranking.small.Small", "tree", ["ranking"]) is True
  assert model_imports.ImportParams("nothing.Small", "tree", ["ranking"], require_success=False) is False
  with pytest.raises(LookupError, match="Could not import nothing for model nothing.Small.*ranking"):
    model_imports.ImportParams("nothing.Small", "tree", ["ranking"])
  with pytest.raises(ValueError, match="Invalid model name 'Small'; give it as module.Class"):
    model_imports.ImportParams("Small")
