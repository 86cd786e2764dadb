# SPDX-License-Identifier: Apache-2.0
"""The notebooks run from the first cell to the last, and show what their text says."""

from __future__ import annotations

import json
import os
import pathlib
import re
import sys

import nbclient
import nbformat
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "docs" / "notebooks"


@pytest.fixture
def own_kernel(tmp_path, monkeypatch):
  """A kernel of this Python that finds the repository; Jupyter and matplotlib keep their files with the test."""
  for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
    monkeypatch.setenv(name, str(tmp_path / name.lower()))
  monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
  monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
  spec = tmp_path / "jupyter_data_dir" / "kernels" / "python3"
  spec.mkdir(parents=True)
  command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
  content = {"argv": command, "display_name": "Python 3", "language": "python"}
  (spec / "kernel.json").write_text(json.dumps(content))


def _run(name: str) -> list:
  """Executes a notebook in the root of the repository; returns the outputs of all cells."""
  book = nbformat.read(NOTEBOOKS / name, as_version=4)
  nbclient.NotebookClient(book, timeout=500, resources={"metadata": {"path": str(ROOT)}}).execute()
  return [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]


def test_notebooks_are_committed_without_outputs():
  books = sorted(NOTEBOOKS.glob("*.ipynb"))
  assert books
  for path in books:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells), path.name


@pytest.mark.slow
@pytest.mark.usefixtures("own_kernel")
def test_layers_tour_beats_its_baseline_and_draws():
  outputs = _run("layers_tour.ipynb")
  text = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
  found = dict(re.findall(r"^(baseline|model): +test AUC (0\.\d+)", text, re.MULTILINE))
  assert float(found["model"]) > float(found["baseline"]) > 0.7, text
  errors = dict(re.findall(r"^(baseline|model): .*RMSE (\d\.\d+)", text, re.MULTILINE))
  assert float(errors["model"]) < float(errors["baseline"]) < 1.0, text
  pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
  assert len(pictures) == 2 and all(len(picture) > 10_000 for picture in pictures)
