# SPDX-License-Identifier: Apache-2.0
"""`python -m examples.movielens`."""

import os

# Before TensorFlow is loaded: its notes about the machine are not what this program has to say.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from examples.movielens import train

if __name__ == "__main__":
  train.quiet_tensorflow()
  train.main()
