// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_SHARD_FILES_H_
#define CC_HASH_TABLE_SHARD_FILES_H_

#include <string>
#include <vector>

namespace monolith {

// "<basename>-00001-of-00004" for shard 1 of 4.
std::string ShardFileName(const std::string& basename, int shard, int num_shards);

// The shard and total of a path "<basename>-ddddd-of-ddddd"; false for any other name, temporary files among them.
bool ParseShardFileName(const std::string& path, const std::string& basename, int* shard, int* num_shards);

// Given every path that starts with "<basename>-", returns the files of the one complete set, in shard order. Names that
// are no shard are ignored. Throws TableError naming the file or the shard if there is no file, if totals differ, if a
// shard is not below its total, or if one is missing.
std::vector<std::string> CompleteShardSet(const std::string& basename, const std::vector<std::string>& paths);

}  // namespace monolith

#endif  // CC_HASH_TABLE_SHARD_FILES_H_
