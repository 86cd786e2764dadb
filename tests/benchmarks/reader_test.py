# SPDX-License-Identifier: Apache-2.0
"""The readers' benchmark runs, and notices peers that read something else."""

import pytest

from benchmarks.data import files, reader


@pytest.mark.slow
def test_all_peers_read_the_same(capsys):
  assert reader.main(["--batches", "2", "--copies", "1", "--batch_size", "8", "--rounds", "1"]) == 0
  printed = capsys.readouterr().out
  assert all(f"\n{peer} " in printed for peer in reader.PEERS)


def test_another_checksum_is_an_error():
  reader.check_agreement({"a": (1, 2, 3.0), "b": (1, 2, 3.0 + 1e-9)})
  for other in ((2, 2, 3.0), (1, 3, 3.0), (1, 2, 3.1)):
    with pytest.raises(ValueError, match="checksums differ: a .*, b"):
      reader.check_agreement({"a": (1, 2, 3.0), "b": other})


def test_checksum_depends_on_values_and_places(tmp_path):
  sums = []
  for seed in (1, 2):
    (tmp_path / str(seed)).mkdir()
    paths = files.write(files.Rows(4, seed), 4, 1, tmp_path / str(seed))
    sums.append(reader.checksum(reader.dataset_of("example", str(paths["example"]), 4)))
  assert sums[0][0] == sums[1][0] == 4 and sums[0][1] != sums[1][1]
