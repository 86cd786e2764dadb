// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/table_files.h"

#include <algorithm>
#include <memory>
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
constexpr const char* kDataCompression = kSnappyCompression;

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

}  // namespace

std::string MetaBasename(const std::string& basename) { return basename + ".meta"; }

absl::Status FindShardFiles(Env* env, const std::string& basename, std::vector<std::string>* files) {
  const std::string directory(::tensorflow::io::Dirname(basename));
  std::vector<std::string> children;
  const absl::Status listed = env->GetChildren(directory.empty() ? "." : directory, &children);
  if (absl::IsNotFound(listed)) {
    return absl::InvalidArgumentError(absl::StrCat("the directory ", directory, " of the saved table or filter ",
                                                   basename, " does not exist; check the path."));
  }
  TF_RETURN_IF_ERROR(listed);
  std::vector<std::string> paths;
  for (const std::string& child : children) {
    paths.push_back(directory.empty() ? child : ::tensorflow::io::JoinPath(directory, child));
  }
  return ToStatus([&] { *files = CompleteShardSet(basename, paths); });
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

ShardWriter::ShardWriter(Env* env, const std::string& basename, int shard, int num_shards)
    : env_(env),
      data_(ShardFileName(basename, shard, num_shards)),
      meta_(ShardFileName(MetaBasename(basename), shard, num_shards)),
      data_tmp_(TemporaryPath(data_)),
      meta_tmp_(TemporaryPath(meta_)) {}

ShardWriter::~ShardWriter() {
  for (const std::string& path : {data_tmp_, meta_tmp_}) {
    if (env_->FileExists(path).ok()) env_->DeleteFile(path).IgnoreError();
  }
}

absl::Status ShardWriter::WriteMeta(const std::vector<TableCount>& counts) {
  RecordFile file;
  TF_RETURN_IF_ERROR(file.Open(env_, meta_tmp_, kNoCompression));
  for (const TableCount& count : counts) {
    hash_table::MultiHashTableMetadata metadata;
    metadata.set_table_name(count.table);
    metadata.set_num_entries(count.num_entries);
    TF_RETURN_IF_ERROR(file.Append(metadata.SerializeAsString()));
  }
  return file.Close();
}

absl::Status ShardWriter::Write(const Entries& entries) {
  std::vector<TableCount> counts;
  TF_RETURN_IF_ERROR(
      WriteFrames(env_, data_tmp_, kDataCompression, [&](FrameBuffer* frames) { entries(frames, &counts); }));
  return WriteMeta(counts);
}

absl::Status ShardWriter::Commit() {
  TF_RETURN_IF_ERROR(env_->RenameFile(data_tmp_, data_));
  return env_->RenameFile(meta_tmp_, meta_);
}

absl::Status RemoveOtherShards(Env* env, const std::string& basename, int num_shards) {
  const std::string directory(::tensorflow::io::Dirname(basename));
  std::vector<std::string> children;
  TF_RETURN_IF_ERROR(env->GetChildren(directory.empty() ? "." : directory, &children));
  for (const std::string& child : children) {
    const std::string path = directory.empty() ? child : ::tensorflow::io::JoinPath(directory, child);
    for (const std::string& base : {basename, MetaBasename(basename)}) {
      int shard, total;
      if (ParseShardFileName(path, base, &shard, &total) && total != num_shards) {
        TF_RETURN_IF_ERROR(env->DeleteFile(path));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status WriteShards(Env* env, const std::string& basename, int num_shards,
                         const std::function<void(int, FrameBuffer*)>& write, const std::function<void()>& written) {
  TemporaryFiles files(env);
  for (int i = 0; i < num_shards; ++i) files.Add(ShardFileName(basename, i, num_shards));
  TF_RETURN_IF_ERROR(RunOnThreads(env, num_shards, [&](int i) {
    return WriteFrames(env, files[i], kNoCompression, [&](FrameBuffer* frames) { write(i, frames); });
  }));
  written();
  TF_RETURN_IF_ERROR(files.Commit());
  return RemoveOtherShards(env, basename, num_shards);
}

absl::Status ReadRecords(Env* env, const std::string& path, const OnRecords& on_records) {
  RecordBlocks blocks;
  TF_RETURN_IF_ERROR(blocks.Open(env, path, kNoCompression));
  std::vector<std::string_view> records;
  do {
    const absl::Status read = blocks.Next(kMostRecords, &records);
    if (!read.ok()) {
      return absl::FailedPreconditionError(absl::StrCat("the table shard ", path, " is damaged (", read.message(),
                                                        "); restore from another checkpoint."));
    }
    TF_RETURN_IF_ERROR(on_records(records));
  } while (!records.empty());
  return absl::OkStatus();
}

absl::Status ReadShard(Env* env, const std::string& path, const std::vector<TableCount>& counts,
                       const std::function<absl::Status(int, const std::vector<std::string_view>&)>& on_records) {
  RecordBlocks blocks;
  TF_RETURN_IF_ERROR(blocks.Open(env, path, kDataCompression));
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
