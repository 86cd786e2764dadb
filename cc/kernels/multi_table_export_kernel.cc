// SPDX-License-Identifier: Apache-2.0
// Tables as tensors and back: what frameworks need that keep their own files.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/kernels/stacked_ids.h"
#include "cc/kernels/status_util.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::tstring;
using ::tensorflow::core::RefCountPtr;

constexpr size_t kEntriesPerBatch = 1024;

class MultiTableExportOp : public OpKernel {
 public:
  enum Output { kTableNames = 0, kCounts = 1, kEntries = 2 };
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<MultiTableResource> resource;
    OP_REQUIRES_OK(ctx, FindTable(ctx, &resource));
    MultiTable& tables = resource->tables();
    Tensor *names, *counts, *output;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(kTableNames, {tables.num_tables()}, &names));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(kCounts, {tables.num_tables()}, &counts));
    std::vector<std::string> entries;
    OP_REQUIRES_OK(ctx, ToStatus([&] {
                     for (int t = 0; t < tables.num_tables(); ++t) {
                       names->flat<tstring>()(t) = tables.name(t);
                     }
                     ReadAll(&tables, counts->flat<int64_t>().data(), &entries);
                   }));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(kEntries, {static_cast<int64_t>(entries.size())}, &output));
    auto flat = output->flat<tstring>();
    for (size_t i = 0; i < entries.size(); ++i) flat(i) = entries[i];
  }

 private:
  // One cut through all tables: they are locked together.
  static void ReadAll(MultiTable* tables, int64_t* counts, std::vector<std::string>* entries) {
    std::vector<std::unique_ptr<EmbeddingTable::Locked>> locked;
    for (int t = 0; t < tables->num_tables(); ++t) locked.push_back(tables->table(t).Lock());
    entries->reserve(tables->size());
    for (int t = 0; t < tables->num_tables(); ++t) {
      const size_t before = entries->size();
      locked[t]->ForEach(0, 1, tables->table(t).config().expire, [entries](int64_t, const std::string& entry) {
        entries->push_back(entry);
        return true;
      });
      counts[t] = static_cast<int64_t>(entries->size() - before);
    }
  }
};

class MultiTableImportOp : public OpKernel {
 public:
  enum Input { kTable = 0, kTableNames = 1, kCounts = 2, kEntries = 3 };
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<MultiTableResource> resource;
    OP_REQUIRES_OK(ctx, FindTable(ctx, &resource));
    MultiTable& tables = resource->tables();
    std::vector<int> table_of;
    OP_REQUIRES_OK(ctx, Check(ctx, tables, &table_of));
    const auto counts = ctx->input(kCounts).flat<int64_t>();
    OP_REQUIRES_OK(ctx, ToStatus([&] {
                     std::vector<std::unique_ptr<RestoreBatch>> batches;
                     std::vector<uint64_t> expected(tables.num_tables(), 0);
                     for (size_t i = 0; i < table_of.size(); ++i) expected[table_of[i]] += counts(i);
                     for (int t = 0; t < tables.num_tables(); ++t) {
                       batches.push_back(tables.table(t).StartRestore(expected[t]));
                     }
                     const tstring* entry = ctx->input(kEntries).flat<tstring>().data();
                     for (size_t i = 0; i < table_of.size(); ++i) {
                       AddAll(entry, counts(i), batches[table_of[i]].get());
                       entry += counts(i);
                     }
                     for (int t = 0; t < tables.num_tables(); ++t) {
                       tables.table(t).FinishRestore(std::move(batches[t]));
                     }
                   }));
    ctx->set_output(0, ctx->input(kTable));
  }

 private:
  absl::Status Check(OpKernelContext* ctx, const MultiTable& tables, std::vector<int>* table_of) const {
    const auto names = ctx->input(kTableNames).flat<tstring>();
    const auto counts = ctx->input(kCounts).flat<int64_t>();
    const int64_t num_entries = ctx->input(kEntries).NumElements();
    if (names.size() != counts.size()) {
      return absl::InvalidArgumentError(absl::StrCat(type_string(), ": ", names.size(), " table_names for ",
                                                     counts.size(), " counts; give one count each."));
    }
    int64_t left = num_entries;
    for (int64_t i = 0; i < names.size(); ++i) {
      table_of->push_back(tables.IndexOf(std::string(names(i))));
      if (table_of->back() < 0) {
        return absl::InvalidArgumentError(absl::StrCat(type_string(), ": there is no table '", std::string(names(i)),
                                                       "'; import into tables of the same names."));
      }
      if (counts(i) < 0 || counts(i) > left) {
        return absl::InvalidArgumentError(absl::StrCat(type_string(), ": table '", std::string(names(i)), "' has ",
                                                       counts(i), " entries, but ", left, " are left of ", num_entries,
                                                       "; pass what was exported together."));
      }
      left -= counts(i);
    }
    if (left == 0) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(type_string(), ": ", left, " of ", num_entries,
                                                   " entries belong to no table; pass what was exported together."));
  }

  static void AddAll(const tstring* entries, int64_t count, RestoreBatch* batch) {
    std::vector<std::string_view> serialized;
    for (int64_t i = 0; i < count; ++i) {
      serialized.emplace_back(entries[i].data(), entries[i].size());
      if (serialized.size() == kEntriesPerBatch || i + 1 == count) {
        batch->Add(serialized.data(), serialized.size(), 0, 1);
        serialized.clear();
      }
    }
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableExport").Device(::tensorflow::DEVICE_CPU), MultiTableExportOp);
REGISTER_KERNEL_BUILDER(Name("MonolithMultiHashTableImport").Device(::tensorflow::DEVICE_CPU), MultiTableImportOp);

}  // namespace
}  // namespace monolith
