// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/table_files.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/hash_table/shard_files.h"
#include "cc/kernels/record_blocks.h"
#include "cc/kernels/record_file.h"
#include "cc/kernels/status_util.h"
#include "monolith/native_training/runtime/hash_table/embedding_hash_table.pb.h"
#include "tensorflow/core/lib/io/path.h"

namespace monolith {
namespace {

using ::tensorflow::Env;
using ::tensorflow::tstring;
using ::tensorflow::io::SequentialRecordReader;

constexpr uint64_t kMostRecords = 2048;  // handed on together, while they are in the cache

absl::Status DataLoss(const std::string& path, const std::string& what) {
  return absl::DataLossError(
      absl::StrCat("the table shard ", path, " is damaged (", what, "); restore from another checkpoint."));
}

// Writes a file of the frames that fill(frames) gives.
absl::Status WriteFrames(Env* env, const std::string& path, const char* compression,
                         const std::function<void(FrameBuffer*)>& fill) {
  BlockFile file;
  TF_RETURN_IF_ERROR(file.Open(env, path, compression));
  absl::Status status;
  FrameBuffer frames(BlockFile::kBlockBytes, [&](std::string_view block) {
    status = file.Append(block);
    return status.ok();
  });
  fill(&frames);
  frames.Flush();
  TF_RETURN_IF_ERROR(status);
  return file.Close();
}

absl::Status WriteMetadata(Env* env, const std::string& path, const std::vector<TableCount>& counts) {
  RecordFile file;
  TF_RETURN_IF_ERROR(file.Open(env, path, kNoCompression));
  for (const TableCount& count : counts) {
    hash_table::MultiHashTableMetadata metadata;
    metadata.set_table_name(count.table);
    metadata.set_num_entries(count.num_entries);
    TF_RETURN_IF_ERROR(file.Append(metadata.SerializeAsString()));
  }
  return file.Close();
}

absl::Status FailedPrecondition(const std::string& path, const std::string& what) {
  return absl::FailedPreconditionError(
      absl::StrCat("the table shard ", path, " is damaged (", what, "); restore from another checkpoint."));
}

// What the metadata of a shard of one table counts.
absl::Status ReadOneCount(Env* env, const std::string& path, std::optional<uint64_t>* count) {
  std::vector<TableCount> counts;
  const absl::Status read = ReadMetadata(env, path, &counts);
  if (absl::IsDataLoss(read)) return absl::FailedPreconditionError(read.message());
  TF_RETURN_IF_ERROR(read);
  if (counts.size() != 1) {
    return FailedPrecondition(path, absl::StrCat("it counts ", counts.size(), " tables instead of one"));
  }
  *count = counts[0].num_entries;
  return absl::OkStatus();
}

// The paths of all files in the directory of `basename`.
absl::Status ListBeside(Env* env, const std::string& basename, std::vector<std::string>* paths) {
  const std::string directory(::tensorflow::io::Dirname(basename));
  std::vector<std::string> children;
  const absl::Status listed = env->GetChildren(directory.empty() ? "." : directory, &children);
  if (absl::IsNotFound(listed)) {
    return absl::InvalidArgumentError(absl::StrCat("the directory ", directory, " of the saved table or filter ",
                                                   basename, " does not exist; check the path."));
  }
  TF_RETURN_IF_ERROR(listed);
  for (const std::string& child : children) {
    paths->push_back(directory.empty() ? child : ::tensorflow::io::JoinPath(directory, child));
  }
  return absl::OkStatus();
}

}  // namespace

std::string MetaBasename(const std::string& basename) { return basename + ".meta"; }

absl::Status FindShardFiles(Env* env, const std::string& basename, std::vector<std::string>* files) {
  std::vector<std::string> paths;
  TF_RETURN_IF_ERROR(ListBeside(env, basename, &paths));
  return ToStatus([&] { *files = CompleteShardSet(basename, paths); });
}

absl::Status FindShards(Env* env, const std::string& basename, bool needs_meta, std::vector<ShardFiles>* shards) {
  std::vector<std::string> paths, data, meta;
  TF_RETURN_IF_ERROR(ListBeside(env, basename, &paths));
  TF_RETURN_IF_ERROR(ToStatus([&] { data = CompleteShardSet(basename, paths); }));
  int shard, total;
  const bool has_meta = std::any_of(paths.begin(), paths.end(), [&](const std::string& path) {
    return ParseShardFileName(path, MetaBasename(basename), &shard, &total);
  });
  if (has_meta || needs_meta) {
    TF_RETURN_IF_ERROR(ToStatus([&] { meta = CompleteShardSet(MetaBasename(basename), paths); }));
    if (data.size() != meta.size()) {
      return absl::InvalidArgumentError(absl::StrCat("the saved table ", basename, " has ", data.size(),
                                                     " data files and ", meta.size(),
                                                     " metadata files; remove those of the older save."));
    }
  }
  for (size_t i = 0; i < data.size(); ++i) shards->push_back({data[i], meta.empty() ? "" : meta[i]});
  return absl::OkStatus();
}

absl::Status ReadMetadata(Env* env, const std::string& path, std::vector<TableCount>* counts) {
  std::unique_ptr<::tensorflow::RandomAccessFile> file;
  TF_RETURN_IF_ERROR(env->NewRandomAccessFile(path, &file));
  SequentialRecordReader reader(file.get(), ReaderOptions(kNoCompression));
  while (true) {
    tstring record;
    const absl::Status read = reader.ReadRecord(&record);
    if (IsEndOfRecords(read, record)) return absl::OkStatus();
    if (!read.ok()) return DataLoss(path, std::string(read.message()));
    hash_table::MultiHashTableMetadata metadata;
    if (!metadata.ParseFromArray(record.data(), static_cast<int>(record.size()))) {
      return DataLoss(path, "a record is no MultiHashTableMetadata");
    }
    counts->push_back({std::string(metadata.table_name()), metadata.num_entries()});
  }
}

absl::Status RemoveOtherShards(Env* env, const std::string& basename, int num_shards) {
  std::vector<std::string> paths;
  TF_RETURN_IF_ERROR(ListBeside(env, basename, &paths));
  for (const std::string& path : paths) {
    for (const std::string& base : {basename, MetaBasename(basename)}) {
      int shard, total;
      if (ParseShardFileName(path, base, &shard, &total) && total != num_shards) {
        TF_RETURN_IF_ERROR(env->DeleteFile(path));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status WriteShards(Env* env, const std::string& basename, int num_shards, const char* compression,
                         const WriteEntries& write, const std::function<void()>& written) {
  TemporaryFiles files(env);  // data and metadata of one shard after another
  for (int i = 0; i < num_shards; ++i) {
    files.Add(ShardFileName(basename, i, num_shards));
    files.Add(ShardFileName(MetaBasename(basename), i, num_shards));
  }
  TF_RETURN_IF_ERROR(RunOnThreads(env, num_shards, [&](int i) {
    std::vector<TableCount> counts;
    TF_RETURN_IF_ERROR(
        WriteFrames(env, files[2 * i], compression, [&](FrameBuffer* frames) { write(i, frames, &counts); }));
    return WriteMetadata(env, files[2 * i + 1], counts);
  }));
  written();
  TF_RETURN_IF_ERROR(files.Commit());
  return RemoveOtherShards(env, basename, num_shards);
}

absl::Status ReadRecords(Env* env, const ShardFiles& files, const OnRecords& on_records) {
  std::optional<uint64_t> expected;
  if (!files.meta.empty()) TF_RETURN_IF_ERROR(ReadOneCount(env, files.meta, &expected));
  RecordBlocks blocks;
  TF_RETURN_IF_ERROR(blocks.Open(env, files.data, kNoCompression));
  std::vector<std::string_view> records;
  uint64_t found = 0;
  do {
    const absl::Status read = blocks.Next(kMostRecords, &records);
    if (!read.ok()) return FailedPrecondition(files.data, std::string(read.message()));
    TF_RETURN_IF_ERROR(on_records(records));
    found += records.size();
  } while (!records.empty());
  if (!expected || *expected == found) return absl::OkStatus();
  return FailedPrecondition(files.data,
                            absl::StrCat("it has ", found, " records, and ", files.meta, " counts ", *expected));
}

absl::Status ReadShard(Env* env, const std::string& path, const std::vector<TableCount>& counts,
                       const std::function<absl::Status(int, const std::vector<std::string_view>&)>& on_records) {
  RecordBlocks blocks;
  TF_RETURN_IF_ERROR(blocks.Open(env, path, kSnappyCompression));
  std::vector<std::string_view> records;
  for (size_t t = 0; t < counts.size(); ++t) {
    for (uint64_t i = 0; i < counts[t].num_entries; i += records.size()) {
      const absl::Status read = blocks.Next(std::min(kMostRecords, counts[t].num_entries - i), &records);
      if (!read.ok() || records.empty()) {
        return DataLoss(path, absl::StrCat("record ", i, " of ", counts[t].num_entries, " of table '", counts[t].table,
                                           "': ", read.ok() ? "the file ends before it" : read.message()));
      }
      TF_RETURN_IF_ERROR(on_records(static_cast<int>(t), records));
    }
  }
  const absl::Status end = blocks.CheckEnd();
  return end.ok() ? end : DataLoss(path, std::string(end.message()));
}

}  // namespace monolith
