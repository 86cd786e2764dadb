// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/hash_table/entry_dump.h"
#include "cc/kernels/resource_use_op.h"
#include "cc/kernels/scalar_input.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_op_kernel.h"
#include "tensorflow/core/lib/io/record_writer.h"
#include "tensorflow/core/platform/env.h"
#include "tensorflow/core/platform/path.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::tstring;

// A file that several steps may append to at once.
class SharedFile : public ::tensorflow::ResourceBase {
 public:
  explicit SharedFile(std::string name) : name_(std::move(name)) {}
  ~SharedFile() override { Close().IgnoreError(); }

  std::string DebugString() const override { return absl::StrCat("writable file ", name_); }

  absl::Status Open(::tensorflow::Env* env) {
    const std::string directory(::tensorflow::io::Dirname(name_));
    if (!directory.empty()) TF_RETURN_IF_ERROR(env->RecursivelyCreateDir(directory));
    return env->NewWritableFile(name_, &file_);
  }

  absl::Status Append(const std::string& content) {
    const std::lock_guard<std::mutex> lock(mutex_);
    TF_RETURN_IF_ERROR(CheckOpen());
    return file_->Append(content);
  }

  absl::Status AppendRecords(const std::vector<std::string>& records) {
    const std::lock_guard<std::mutex> lock(mutex_);
    TF_RETURN_IF_ERROR(CheckOpen());
    ::tensorflow::io::RecordWriter writer(file_.get());
    for (const std::string& record : records) TF_RETURN_IF_ERROR(writer.WriteRecord(record));
    return absl::OkStatus();
  }

  absl::Status Close() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (file_ == nullptr) return absl::OkStatus();
    const absl::Status status = file_->Close();
    file_ = nullptr;
    return status;
  }

 private:
  absl::Status CheckOpen() const {
    if (file_ != nullptr) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("the file ", name_, " is closed; append before that."));
  }

  const std::string name_;
  std::mutex mutex_;
  std::unique_ptr<::tensorflow::WritableFile> file_;
};

class WritableFileOp : public ::tensorflow::ResourceOpKernel<SharedFile> {
 public:
  explicit WritableFileOp(OpKernelConstruction* ctx) : ResourceOpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("filename", &filename_));
  }

 private:
  absl::Status CreateResource(SharedFile** resource) override {
    ::tensorflow::core::RefCountPtr<SharedFile> file(new SharedFile(filename_));
    TF_RETURN_IF_ERROR(file->Open(::tensorflow::Env::Default()));
    *resource = file.release();
    return absl::OkStatus();
  }

  std::string filename_;
};

class WritableFileAppendOp : public ResourceUseOp<SharedFile> {
 public:
  using ResourceUseOp::ResourceUseOp;

 private:
  absl::Status Use(OpKernelContext* ctx, SharedFile* file) override {
    tstring content;
    TF_RETURN_IF_ERROR(ReadScalar(ctx, "content", &content));
    return file->Append(content);
  }
};

class WritableFileCloseOp : public ResourceUseOp<SharedFile> {
 public:
  using ResourceUseOp::ResourceUseOp;

 private:
  absl::Status Use(OpKernelContext* /*ctx*/, SharedFile* file) override { return file->Close(); }
};

class EntryDumpFileAppendOp : public ResourceUseOp<SharedFile> {
 public:
  using ResourceUseOp::ResourceUseOp;

 private:
  absl::Status Use(OpKernelContext* ctx, SharedFile* file) override {
    const Tensor &ids = ctx->input(1), &bias = ctx->input(2), &embedding = ctx->input(3);
    const int64_t items = ids.NumElements();
    const bool is_even = items == 0 ? embedding.NumElements() == 0 : embedding.NumElements() % items == 0;
    if (ids.dims() != 1 || bias.dims() != 1 || bias.NumElements() != items || !is_even) {
      return absl::InvalidArgumentError(absl::StrCat(
          type_string(), ": item_id, bias and embedding have shapes ", ids.shape().DebugString(), ", ",
          bias.shape().DebugString(), " and ", embedding.shape().DebugString(), "; pass [n], [n] and [n, dim]."));
    }
    const int64_t dim = items == 0 ? 0 : embedding.NumElements() / items;
    const float* row = embedding.flat<float>().data();
    std::vector<std::string> records(items);
    std::vector<float> values(dim + 1);
    for (int64_t i = 0; i < items; ++i, row += dim) {
      values[0] = bias.flat<float>()(i);
      std::copy(row, row + dim, values.begin() + 1);
      std::string& record = records[i];
      record.resize(MostEntryBytes(static_cast<int>(values.size()), {}));
      EntryDumpWriter writer(record.data());
      writer.WriteFid(ids.flat<int64_t>()(i));
      writer.WriteValues(values.data(), static_cast<int>(values.size()));
      record.resize(writer.end() - record.data());
    }
    return file->AppendRecords(records);
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithWritableFile").Device(::tensorflow::DEVICE_CPU), WritableFileOp);
REGISTER_KERNEL_BUILDER(Name("MonolithWritableFileAppend").Device(::tensorflow::DEVICE_CPU), WritableFileAppendOp);
REGISTER_KERNEL_BUILDER(Name("MonolithWritableFileClose").Device(::tensorflow::DEVICE_CPU), WritableFileCloseOp);
REGISTER_KERNEL_BUILDER(Name("MonolithEntryDumpFileAppend").Device(::tensorflow::DEVICE_CPU), EntryDumpFileAppendOp);

}  // namespace
}  // namespace monolith
