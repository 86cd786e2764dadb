// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/table_files.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "cc/hash_table/shard_files.h"
#include "cc/hash_table/wire.h"
#include "cc/kernels/record_file.h"
#include "cc/kernels/status_util.h"
#include "monolith/native_training/runtime/hash_table/embedding_hash_table.pb.h"
#include "tensorflow/core/lib/io/path.h"

namespace monolith {
namespace {

using ::tensorflow::Env;
using ::tensorflow::tstring;
using ::tensorflow::io::SequentialRecordReader;

constexpr size_t kBlockRecords = 512;
constexpr uint64_t kRecordFraming = 16;  // bytes of lengths and checksums that a record has in its file
constexpr const char* kDataCompression = kSnappyCompression;

absl::Status DataLoss(const std::string& path, const std::string& what) {
  return absl::DataLossError(
      absl::StrCat("the table shard ", path, " is damaged (", what, "); restore from another checkpoint."));
}

// The bytes that the blocks of a compressed file hold when decompressed: each is a big-endian length and that many bytes,
// which begin with the length that they have decompressed, as a varint. DataLoss unless the blocks fill the file.
absl::Status CountDecompressed(Env* env, const std::string& path, const ::tensorflow::RandomAccessFile& file,
                               uint64_t* decompressed) {
  constexpr size_t kLength = 4, kLongestVarint = 5;
  uint64_t size;
  TF_RETURN_IF_ERROR(env->GetFileSize(path, &size));
  *decompressed = 0;
  for (uint64_t at = 0; at < size;) {
    char scratch[kLength + kLongestVarint];
    absl::string_view head;
    const size_t wanted = std::min<uint64_t>(sizeof(scratch), size - at);
    TF_RETURN_IF_ERROR(file.Read(at, head, absl::MakeSpan(scratch, wanted)));
    uint64_t block = 0, inside = 0;
    for (size_t i = 0; i < kLength && i < head.size(); ++i) block = block << 8 | static_cast<uint8_t>(head[i]);
    if (head.size() <= kLength || block > size - at - kLength ||
        !wire::Reader(std::string_view(head.data() + kLength, head.size() - kLength)).Varint(&inside)) {
      return DataLoss(path, absl::StrCat("its last ", size - at, " bytes are no block"));
    }
    *decompressed += inside;
    at += kLength + block;
  }
  return absl::OkStatus();
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

absl::Status ShardWriter::WriteData(const std::function<absl::Status(const Append&, std::vector<TableCount>*)>& entries,
                                    std::vector<TableCount>* counts) {
  RecordFile file;
  TF_RETURN_IF_ERROR(file.Open(env_, data_tmp_, kDataCompression));
  TF_RETURN_IF_ERROR(entries([&file](const std::string& record) { return file.Append(record); }, counts));
  return file.Close();
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

absl::Status ShardWriter::Write(const std::function<absl::Status(const Append&, std::vector<TableCount>*)>& entries) {
  std::vector<TableCount> counts;
  TF_RETURN_IF_ERROR(WriteData(entries, &counts));
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
                         const std::function<absl::Status(int, const ShardWriter::Append&)>& write,
                         const std::function<void()>& written) {
  TemporaryFiles files(env);
  for (int i = 0; i < num_shards; ++i) files.Add(ShardFileName(basename, i, num_shards));
  TF_RETURN_IF_ERROR(RunOnThreads(env, num_shards, [&](int i) {
    RecordFile file;
    TF_RETURN_IF_ERROR(file.Open(env, files[i], kNoCompression));
    TF_RETURN_IF_ERROR(write(i, [&file](const std::string& record) { return file.Append(record); }));
    return file.Close();
  }));
  written();
  TF_RETURN_IF_ERROR(files.Commit());
  return RemoveOtherShards(env, basename, num_shards);
}

absl::Status ReadRecords(Env* env, const std::string& path,
                         const std::function<absl::Status(const std::vector<std::string>&)>& on_records) {
  std::unique_ptr<::tensorflow::RandomAccessFile> file;
  TF_RETURN_IF_ERROR(env->NewRandomAccessFile(path, &file));
  SequentialRecordReader reader(file.get(), ReaderOptions(kNoCompression));
  std::vector<std::string> block;
  tstring record;
  absl::Status read;
  while (read.ok()) {
    read = reader.ReadRecord(&record);
    if (read.ok()) block.emplace_back(record.data(), record.size());
    if (block.size() == kBlockRecords || (!read.ok() && !block.empty())) {
      TF_RETURN_IF_ERROR(on_records(block));
      block.clear();
    }
  }
  std::string damage(read.message());
  if (absl::IsOutOfRange(read)) {
    // The reader takes the beginning of a record's header for the end of the file.
    uint64_t size;
    TF_RETURN_IF_ERROR(env->GetFileSize(path, &size));
    if (reader.TellOffset() == size) return absl::OkStatus();
    damage = "it ends within a record";
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the table shard ", path, " is damaged (", damage, "); restore from another checkpoint."));
}

absl::Status ReadShard(Env* env, const std::string& path, const std::vector<TableCount>& counts,
                       const std::function<absl::Status(int, const std::vector<std::string>&)>& on_records) {
  std::unique_ptr<::tensorflow::RandomAccessFile> file;
  TF_RETURN_IF_ERROR(env->NewRandomAccessFile(path, &file));
  SequentialRecordReader reader(file.get(), ReaderOptions(kDataCompression));
  tstring record;
  uint64_t read_bytes = 0;
  for (size_t t = 0; t < counts.size(); ++t) {
    std::vector<std::string> block;
    size_t used = 0;  // of the block, whose strings are used again
    for (uint64_t i = 0; i < counts[t].num_entries; ++i) {
      const absl::Status read = reader.ReadRecord(&record);
      if (!read.ok()) {
        return DataLoss(path, absl::StrCat("record ", i, " of ", counts[t].num_entries, " of table '", counts[t].table,
                                           "': ", read.message()));
      }
      read_bytes += kRecordFraming + record.size();
      if (used == block.size()) block.emplace_back();
      block[used++].assign(record.data(), record.size());
      if (used == kBlockRecords || i + 1 == counts[t].num_entries) {
        block.resize(used);
        TF_RETURN_IF_ERROR(on_records(static_cast<int>(t), block));
        used = 0;
      }
    }
  }
  // The reader takes the end of the file for its own where a record or a block has only begun, so bytes are counted.
  uint64_t bytes;
  TF_RETURN_IF_ERROR(CountDecompressed(env, path, *file, &bytes));
  return bytes == read_bytes ? absl::OkStatus() : DataLoss(path, "it goes on after the last record");
}

}  // namespace monolith
