// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/shard_files.h"

#include <cstdio>
#include <cstdlib>

#include "cc/hash_table/table_config.h"

namespace monolith {
namespace {

constexpr size_t kSuffixSize = sizeof("-00000-of-00000") - 1;

// Five digits, or -1.
int FiveDigits(const std::string& text, size_t at) {
  for (size_t i = at; i < at + 5; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
  }
  return std::atoi(text.substr(at, 5).c_str());
}

}  // namespace

std::string ShardFileName(const std::string& basename, int shard, int num_shards) {
  char suffix[40];
  std::snprintf(suffix, sizeof(suffix), "-%05d-of-%05d", shard, num_shards);
  return basename + suffix;
}

bool ParseShardFileName(const std::string& path, const std::string& basename, int* shard, int* num_shards) {
  if (path.size() != basename.size() + kSuffixSize || path.compare(0, basename.size(), basename) != 0) return false;
  const std::string suffix = path.substr(basename.size());
  if (suffix[0] != '-' || suffix.compare(6, 4, "-of-") != 0) return false;
  *shard = FiveDigits(suffix, 1);
  *num_shards = FiveDigits(suffix, 10);
  return *shard >= 0 && *num_shards >= 0;
}

std::vector<std::string> CompleteShardSet(const std::string& basename, const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  std::string first;
  for (const std::string& path : paths) {
    int shard, total;
    if (!ParseShardFileName(path, basename, &shard, &total)) continue;
    if (shard >= total) throw TableError("the file " + path + " names a shard beyond its total; remove it.");
    if (files.empty()) {
      files.resize(total);
      first = path;
    } else if (files.size() != static_cast<size_t>(total)) {
      throw TableError("the files " + first + " and " + path +
                       " belong to saves with different totals; remove those of "
                       "the older save.");
    }
    files[shard] = path;
  }
  if (files.empty()) throw TableError("no saved shard of " + basename + " exists; check the path.");
  for (size_t i = 0; i < files.size(); ++i) {
    if (files[i].empty()) {
      throw TableError("the file " + ShardFileName(basename, static_cast<int>(i), static_cast<int>(files.size())) +
                       " is missing; restore from another checkpoint.");
    }
  }
  return files;
}

}  // namespace monolith
