// SPDX-License-Identifier: Apache-2.0
// Saved tables. One table: for every shard a TFRecord file of EntryDump records. Multi tables: for every shard a data file (TFRecord, Snappy: EntryDump records, one table after another) and a
// metadata file (TFRecord: one MultiHashTableMetadata a table, which says how many records are its).
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

// Reads a metadata file; DataLoss naming the file if it is damaged.
absl::Status ReadMetadata(::tensorflow::Env* env, const std::string& path, std::vector<TableCount>* counts);

// Writes one shard. Nothing but <path>-tmp-... exists until Commit.
class ShardWriter {
 public:
  ShardWriter(::tensorflow::Env* env, const std::string& basename, int shard, int num_shards);
  ~ShardWriter();  // removes what was not committed
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  // entries(frames, counts) puts the records of one table after another into `frames`, and how many each has into `counts`.
  using Entries = std::function<void(FrameBuffer* frames, std::vector<TableCount>* counts)>;
  absl::Status Write(const Entries& entries);
  // Gives the files their names.
  absl::Status Commit();

 private:
  absl::Status WriteMeta(const std::vector<TableCount>& counts);

  ::tensorflow::Env* const env_;
  const std::string data_, meta_, data_tmp_, meta_tmp_;
};

// Removes files of `basename` (data and metadata) that belong to a save with another number of shards.
absl::Status RemoveOtherShards(::tensorflow::Env* env, const std::string& basename, int num_shards);

// Writes <basename>-ddddd-of-ddddd, a file of one table for every shard; write(shard, frames) gives its records. Calls
// `written` once all is on disk, before the files get their names; files of a save with another number of shards go.
absl::Status WriteShards(::tensorflow::Env* env, const std::string& basename, int num_shards,
                         const std::function<void(int shard, FrameBuffer* frames)>& write,
                         const std::function<void()>& written);

// Records that were read together, as views that hold until the call returns.
using OnRecords = std::function<absl::Status(const std::vector<std::string_view>& records)>;

// Calls on_records(records) with the records of a file of one table; FailedPrecondition naming the file if one is damaged.
absl::Status ReadRecords(::tensorflow::Env* env, const std::string& path, const OnRecords& on_records);

// Calls on_records(table, records) with the records of a data file; DataLoss naming the file if a record is damaged, or if
// there are fewer or more records than `counts` says.
absl::Status ReadShard(
    ::tensorflow::Env* env, const std::string& path, const std::vector<TableCount>& counts,
    const std::function<absl::Status(int index, const std::vector<std::string_view>& records)>& on_records);

}  // namespace monolith

#endif  // CC_KERNELS_TABLE_FILES_H_
