# SPDX-License-Identifier: Apache-2.0
"""`python -m examples.movielens`."""

from examples.movielens import train

if __name__ == "__main__":
  train.main()
