# SPDX-License-Identifier: Apache-2.0
"""Runs the example calls of a module's docstrings."""

import doctest

import tensorflow as tf


def run_examples(module):
  """Raises AssertionError, showing the difference, unless every example returns what is written below it.

  Examples see the module's own names, `tf` among them.
  """
  finder = doctest.DocTestFinder(exclude_empty=True)
  runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.FAIL_FAST)
  count, shown = 0, []
  for test in finder.find(module, module.__name__, globs={**vars(module), "tf": tf}):
    count += len(test.examples)
    runner.run(test, out=shown.append)
  assert runner.summarize(verbose=False).failed == 0, "".join(shown)
  assert count, f"{module.__name__} has no examples"
