// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/filter_files.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/hash_table/shard_files.h"
#include "cc/kernels/record_file.h"
#include "cc/kernels/table_files.h"
#include "monolith/native_training/runtime/hash_table/embedding_hash_table.pb.h"
#include "tensorflow/core/lib/io/path.h"
#include "tensorflow/core/platform/errors.h"

namespace monolith {
namespace {

using ::tensorflow::Env;
using ::tensorflow::tstring;
using ::tensorflow::io::SequentialRecordReader;
using CellsDump = hash_table::HashFilterSplitDataDump;
using MetaDump = hash_table::HashFilterSplitMetaDump;

constexpr uint64_t kCellsPerRecord = 10000;

absl::Status DataLoss(const std::string& path, const std::string& what) {
  return absl::DataLossError(
      absl::StrCat("the filter split ", path, " is damaged (", what, "); restore from another checkpoint."));
}

MetaDump ToProto(const FilterSplitMeta& meta) {
  MetaDump proto;
  proto.set_failure_count(meta.failure_count);
  proto.set_total_size(meta.total_size);
  proto.set_num_elements(meta.num_elements);
  proto.set_fill_rate(meta.fill_rate);
  auto* filter = proto.mutable_sliding_hash_filter_meta();
  filter->set_split_num(meta.filter.split_num);
  filter->set_max_forward_step(meta.filter.max_forward_step);
  filter->set_max_backward_step(meta.filter.max_backward_step);
  filter->set_max_step(meta.filter.max_step);
  filter->set_head(meta.filter.head);
  filter->set_head_increment(meta.filter.head_increment);
  filter->set_failure_count(meta.filter.failure_count);
  return proto;
}

FilterSplitMeta FromProto(const MetaDump& proto) {
  FilterSplitMeta meta;
  meta.failure_count = proto.failure_count();
  meta.total_size = proto.total_size();
  meta.num_elements = proto.num_elements();
  meta.fill_rate = proto.fill_rate();
  const auto& filter = proto.sliding_hash_filter_meta();
  meta.filter = {filter.split_num(), filter.max_forward_step(), filter.max_backward_step(), filter.max_step(),
                 filter.head(),      filter.head_increment(),   filter.failure_count()};
  return meta;
}

absl::Status WriteSplit(Env* env, const SlidingFilter::Locked& locked, int split, const std::string& path) {
  RecordFile file;
  TF_RETURN_IF_ERROR(file.Open(env, path, kNoCompression));
  TF_RETURN_IF_ERROR(file.Append(ToProto(locked.Meta(split)).SerializeAsString()));
  const SlidingFilter::Split& cells = locked.split(split);
  std::vector<uint16_t> block;
  CellsDump proto;
  for (uint64_t offset = 0; offset < cells.num_cells(); offset += kCellsPerRecord) {
    const uint64_t n = std::min(kCellsPerRecord, cells.num_cells() - offset);
    const bool at_an_end = offset == 0 || offset + n == cells.num_cells();
    if (!at_an_end && cells.num_elements() == 0) continue;
    block.resize(n);
    cells.ReadCells(offset, n, block.data());
    if (!at_an_end && std::all_of(block.begin(), block.end(), [](uint16_t cell) { return cell == 0; })) continue;
    proto.set_offset(static_cast<uint32_t>(offset));
    proto.mutable_data()->Clear();
    proto.mutable_data()->Add(block.begin(), block.end());
    TF_RETURN_IF_ERROR(file.Append(proto.SerializeAsString()));
  }
  return file.Close();
}

// A split's file while it is read.
class SplitReader {
 public:
  absl::Status Open(Env* env, const std::string& path) {
    path_ = path;
    TF_RETURN_IF_ERROR(env->NewRandomAccessFile(path, &file_));
    reader_ = std::make_unique<SequentialRecordReader>(file_.get(), ReaderOptions(kNoCompression));
    return absl::OkStatus();
  }

  absl::Status ReadMeta(FilterSplitMeta* meta) {
    MetaDump proto;
    TF_RETURN_IF_ERROR(ReadRecord(&proto));
    if (!proto.has_sliding_hash_filter_meta()) return DataLoss(path_, "its first record is no HashFilterSplitMetaDump");
    *meta = FromProto(proto);
    return absl::OkStatus();
  }

  absl::Status ReadCells(SlidingFilter::Split* split) {
    CellsDump proto;
    std::vector<uint16_t> block;
    uint64_t offset = 0;  // of the next cell; cells that are left out are zero
    while (offset < split->num_cells()) {
      TF_RETURN_IF_ERROR(ReadRecord(&proto));
      const uint64_t n = proto.data_size();
      if (n == 0 || proto.offset() < offset || proto.offset() + n > split->num_cells()) {
        return DataLoss(path_, absl::StrCat(n, " cells from ", proto.offset(), " on where one of the cells ", offset,
                                            " to ", split->num_cells(), " should follow"));
      }
      block.clear();
      for (const uint32_t cell : proto.data()) {
        if (cell > std::numeric_limits<uint16_t>::max()) return DataLoss(path_, "a cell has more than 16 bits");
        block.push_back(static_cast<uint16_t>(cell));
      }
      split->WriteCells(proto.offset(), n, block.data());
      offset = proto.offset() + n;
    }
    tstring record;
    const absl::Status end = reader_->ReadRecord(&record);
    if (!IsEndOfRecords(end, record)) return DataLoss(path_, "it goes on after the last cell");
    return absl::OkStatus();
  }

 private:
  template <typename Proto>
  absl::Status ReadRecord(Proto* proto) {
    tstring record;
    const absl::Status read = reader_->ReadRecord(&record);
    if (!read.ok()) return DataLoss(path_, std::string(read.message()));
    if (!proto->ParseFromArray(record.data(), static_cast<int>(record.size()))) {
      return DataLoss(path_, absl::StrCat("a record is no ", Proto::descriptor()->name()));
    }
    return absl::OkStatus();
  }

  std::string path_;
  std::unique_ptr<::tensorflow::RandomAccessFile> file_;
  std::unique_ptr<SequentialRecordReader> reader_;
};

absl::Status StartRestore(const SlidingFilter& filter, const std::vector<FilterSplitMeta>& metas,
                          const std::string& basename, std::unique_ptr<SlidingFilter::Restored>* restored) {
  try {
    *restored = filter.StartRestore(metas);
    return absl::OkStatus();
  } catch (const FilterMismatch& error) {
    return absl::ResourceExhaustedError(absl::StrCat(basename, ": ", error.what()));
  } catch (const TableError& error) {
    return absl::DataLossError(absl::StrCat(basename, ": ", error.what()));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat(basename, ": no memory is left for the filter's splits."));
  }
}

}  // namespace

absl::Status SaveFilter(Env* env, const SlidingFilter& filter, const std::string& basename) {
  TF_RETURN_IF_ERROR(env->RecursivelyCreateDir(std::string(::tensorflow::io::Dirname(basename))));
  const int num_splits = filter.split_num();
  TemporaryFiles files(env);
  for (int i = 0; i < num_splits; ++i) files.Add(ShardFileName(basename, i, num_splits));
  {
    const SlidingFilter::Locked locked(filter);
    TF_RETURN_IF_ERROR(RunOnThreads(env, num_splits, [&](int i) { return WriteSplit(env, locked, i, files[i]); }));
  }
  TF_RETURN_IF_ERROR(files.Commit());
  return RemoveOtherShards(env, basename, num_splits);
}

absl::Status RestoreFilter(Env* env, SlidingFilter* filter, const std::string& basename) {
  std::vector<std::string> paths;
  TF_RETURN_IF_ERROR(FindShardFiles(env, basename, &paths));
  const int num_files = static_cast<int>(paths.size());
  std::vector<SplitReader> readers(num_files);
  std::vector<FilterSplitMeta> metas(num_files);
  for (int i = 0; i < num_files; ++i) {
    TF_RETURN_IF_ERROR(readers[i].Open(env, paths[i]));
    TF_RETURN_IF_ERROR(readers[i].ReadMeta(&metas[i]));
  }
  std::unique_ptr<SlidingFilter::Restored> restored;
  TF_RETURN_IF_ERROR(StartRestore(*filter, metas, basename, &restored));
  TF_RETURN_IF_ERROR(RunOnThreads(env, num_files, [&](int i) { return readers[i].ReadCells(restored->split(i)); }));
  filter->FinishRestore(std::move(restored));
  return absl::OkStatus();
}

}  // namespace monolith
