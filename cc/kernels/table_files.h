// SPDX-License-Identifier: Apache-2.0
// Saved tables. For every shard a data file (TFRecord, for multi tables with Snappy: EntryDump records, one table after
// another) and a metadata file (TFRecord: one MultiHashTableMetadata a table, which says how many records are its). The
// original system saves one table without metadata, and then a cut between two records cannot be told from a small table.
#ifndef CC_KERNELS_TABLE_FILES_H_
#define CC_KERNELS_TABLE_FILES_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cc/hash_table/record_frames.h"
#include "tensorflow/core/platform/env.h"

namespace monolith {

struct TableCount {
  std::string table;
  uint64_t num_entries = 0;
};

std::string MetaBasename(const std::string& basename);

// The complete set of shard files of `basename`; InvalidArgument naming the file or shard if it is none.
absl::Status FindShardFiles(::tensorflow::Env* env, const std::string& basename, std::vector<std::string>* files);

// The files of one shard; `meta` is empty if the save has no metadata.
struct ShardFiles {
  std::string data, meta;
};

// The complete set of shards of `basename`; InvalidArgument naming the file or shard if it is none, if data and metadata
// have different totals, or if it has no metadata but needs it.
absl::Status FindShards(::tensorflow::Env* env, const std::string& basename, bool needs_meta,
                        std::vector<ShardFiles>* shards);

// Reads a metadata file; DataLoss naming the file if it is damaged.
absl::Status ReadMetadata(::tensorflow::Env* env, const std::string& path, std::vector<TableCount>* counts);

// Removes files of `basename` (data and metadata) that belong to a save with another number of shards.
absl::Status RemoveOtherShards(::tensorflow::Env* env, const std::string& basename, int num_shards);

// Puts the records of one table after another into `frames`, and how many each has into `counts`.
using WriteEntries = std::function<void(int shard, FrameBuffer* frames, std::vector<TableCount>* counts)>;

// Writes the data and metadata files of all shards. Calls `written` once all is on disk, before the files get their names;
// files of a save with another number of shards go. Of a save that fails, no file stays.
absl::Status WriteShards(::tensorflow::Env* env, const std::string& basename, int num_shards, const char* compression,
                         const WriteEntries& write, const std::function<void()>& written);

// Records that were read together, as views that hold until the call returns.
using OnRecords = std::function<absl::Status(const std::vector<std::string_view>& records)>;

// Calls on_records(records) with the records of the data file of one table; FailedPrecondition naming the file if one is
// damaged, or if there are fewer or more records than the metadata says.
absl::Status ReadRecords(::tensorflow::Env* env, const ShardFiles& files, const OnRecords& on_records);

// Calls on_records(table, records) with the records of a data file; DataLoss naming the file if a record is damaged, or if
// there are fewer or more records than `counts` says.
absl::Status ReadShard(
    ::tensorflow::Env* env, const std::string& path, const std::vector<TableCount>& counts,
    const std::function<absl::Status(int index, const std::vector<std::string_view>& records)>& on_records);

}  // namespace monolith

#endif  // CC_KERNELS_TABLE_FILES_H_
