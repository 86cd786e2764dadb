// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/item_pool_files.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cc/kernels/record_file.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/lib/io/path.h"

namespace monolith {
namespace {

using ::tensorflow::Env;
using ::tensorflow::tstring;

constexpr absl::string_view kCheckpoint = "model.ckpt-", kPool = "item_pool_";
constexpr int64_t kNoStep = -1;  // of a name without one

struct PoolFile {
  int64_t step = kNoStep, worker = 0, shard = 0, workers = 0;
  std::string path;
};

std::optional<PoolFile> ParseName(const std::string& directory, absl::string_view name) {
  PoolFile file;
  file.path = ::tensorflow::io::JoinPath(directory, std::string(name));
  if (absl::ConsumePrefix(&name, kCheckpoint)) {
    const size_t end = name.find('_');
    if (end == absl::string_view::npos || !absl::SimpleAtoi(name.substr(0, end), &file.step) || file.step < 0) {
      return std::nullopt;
    }
    name.remove_prefix(end + 1);
  }
  if (!absl::ConsumePrefix(&name, kPool)) return std::nullopt;
  const std::vector<absl::string_view> numbers = absl::StrSplit(name, '_');
  const bool whole = numbers.size() == 3 && absl::SimpleAtoi(numbers[0], &file.worker) &&
                     absl::SimpleAtoi(numbers[1], &file.shard) && absl::SimpleAtoi(numbers[2], &file.workers);
  if (!whole || file.workers < 1) return std::nullopt;
  return file;
}

// The files of the worker that is wanted, of so many that saved last, at the highest of some steps; or none.
std::vector<PoolFile> ChooseOf(const std::vector<PoolFile>& files, const PoolWorker& worker) {
  if (files.empty()) return {};
  const auto by_step = [](const PoolFile& a, const PoolFile& b) { return a.step < b.step; };
  const int64_t wanted = worker.index % std::max_element(files.begin(), files.end(), by_step)->workers;
  std::vector<PoolFile> chosen;
  for (const PoolFile& file : files) {
    if (file.worker != wanted || (!chosen.empty() && file.step < chosen[0].step)) continue;
    if (!chosen.empty() && file.step > chosen[0].step) chosen.clear();
    chosen.push_back(file);
  }
  return chosen;
}

// Files up to the step; names without one are the last resort.
std::vector<PoolFile> Choose(const std::vector<PoolFile>& files, int64_t step, const PoolWorker& worker) {
  std::vector<PoolFile> with_step, without;
  for (const PoolFile& file : files) {
    if (file.step == kNoStep) without.push_back(file);
    if (file.step != kNoStep && file.step <= step) with_step.push_back(file);
  }
  const std::vector<PoolFile> chosen = ChooseOf(with_step, worker);
  return chosen.empty() ? ChooseOf(without, worker) : chosen;
}

absl::Status ReadPoolFile(Env* env, const std::string& path, int64_t buffer_size, const data::ItemPool& pool,
                          data::ItemPool::Restored* restored) {
  std::unique_ptr<::tensorflow::RandomAccessFile> file;
  TF_RETURN_IF_ERROR(env->NewRandomAccessFile(path, &file));
  ::tensorflow::io::RecordReaderOptions options = ReaderOptions(kNoCompression);
  options.buffer_size = buffer_size;
  ::tensorflow::io::SequentialRecordReader reader(file.get(), options);
  while (true) {
    tstring record;
    absl::Status status = reader.ReadRecord(&record);
    if (IsEndOfRecords(status, record)) return absl::OkStatus();
    if (status.ok()) status = ToStatus([&] { pool.Read(std::string_view(record.data(), record.size()), restored); });
    if (!status.ok()) {
      return absl::DataLossError(absl::StrCat("the item pool ", path, " is damaged (", status.message(),
                                              "); remove it to begin with an empty pool."));
    }
  }
}

}  // namespace

absl::Status SaveItemPool(Env* env, const data::ItemPool& pool, const std::string& directory, int64_t step,
                          int64_t num_shards, const PoolWorker& worker) {
  TF_RETURN_IF_ERROR(env->RecursivelyCreateDir(directory));
  TemporaryFiles files(env);
  for (int64_t shard = 0; shard < num_shards; ++shard) {
    const std::string name = absl::StrCat(kCheckpoint, step, "_", kPool, worker.index, "_", shard, "_", worker.count);
    files.Add(::tensorflow::io::JoinPath(directory, name));
  }
  const std::vector<std::vector<std::string>> shards = pool.Save(num_shards);
  TF_RETURN_IF_ERROR(RunOnThreads(env, static_cast<int>(num_shards), [&](int shard) -> absl::Status {
    RecordFile file;
    TF_RETURN_IF_ERROR(file.Open(env, files[shard], kNoCompression));
    for (const std::string& channel : shards[shard]) TF_RETURN_IF_ERROR(file.Append(channel));
    return file.Close();
  }));
  return files.Commit();
}

absl::Status RestoreItemPool(Env* env, data::ItemPool* pool, const std::string& directory, int64_t step,
                             const PoolWorker& worker, int64_t buffer_size, bool* found) {
  *found = false;
  std::vector<std::string> names;
  const absl::Status listed = env->GetChildren(directory, &names);
  if (absl::IsNotFound(listed)) return absl::OkStatus();
  TF_RETURN_IF_ERROR(listed);
  std::vector<PoolFile> files;
  for (const std::string& name : names) {
    if (const auto file = ParseName(directory, name)) files.push_back(*file);
  }
  const std::vector<PoolFile> chosen = Choose(files, step, worker);
  if (chosen.empty()) return absl::OkStatus();
  data::ItemPool::Restored restored;
  for (const PoolFile& file : chosen) {
    TF_RETURN_IF_ERROR(ReadPoolFile(env, file.path, buffer_size, *pool, &restored));
  }
  pool->Finish(&restored);
  *found = true;
  return absl::OkStatus();
}

}  // namespace monolith
