// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/entry_codec.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "cc/hash_table/compressor.h"
#include "cc/hash_table/initializer.h"
#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/retriever.h"

namespace monolith {
namespace {

// Runs `build` and adds which slice of which table failed.
template <typename Build>
auto ForSlice(const TableConfig& config, size_t slice, Build build) {
  try {
    return build();
  } catch (const TableError& error) {
    throw TableError("table '" + config.name + "', slice " + std::to_string(slice) + ": " + error.what());
  }
}

class TrainingCodec : public EntryCodec {
 public:
  explicit TrainingCodec(const TableConfig& config) : config_(config) {
    for (size_t i = 0; i < config.slices.size(); ++i) {
      const SliceConfig& spec = config.slices[i];
      Slice slice;
      slice.dim = spec.dim;
      slice.offset = dim_;
      slice.state_offset = static_cast<int>(state_bytes_);
      slice.initializer =
          ForSlice(config, i, [&] { return NewInitializer(spec.initializer, config.seed, static_cast<int>(i)); });
      slice.optimizer = ForSlice(config, i, [&] { return NewOptimizer(spec.optimizer, spec.dim); });
      slice.retriever = ForSlice(config, i, [&] { return NewRetrieverOf(config, spec, *slice.optimizer); });
      plain_reads_ = plain_reads_ && slice.retriever == nullptr;
      slice.scales_gradients = slice.retriever != nullptr && slice.retriever->scales_gradients();
      needs_global_step_ = needs_global_step_ || slice.scales_gradients || slice.optimizer->needs_global_step();
      needs_looked_up_ = needs_looked_up_ || slice.optimizer->needs_looked_up();
      first_values_vary_ = first_values_vary_ || slice.initializer->depends_on_fid();
      dim_ += spec.dim;
      state_bytes_ += slice.optimizer->state_bytes();
      schemas_.push_back(slice.optimizer->schema());
      slice_state_bytes_.push_back(slice.optimizer->state_bytes());
      slices_.push_back(std::move(slice));
    }
    num_slices_ = static_cast<int>(slices_.size());
    value_bytes_ = sizeof(float) * dim_;
    most_saved_bytes_ = MostEntryBytes(dim_, schemas_);
    first_bytes_.resize(entry_bytes());
    if (!first_values_vary_) FillValues(0, first_bytes_.data());
    for (const Slice& slice : slices_) {
      slice.optimizer->InitState(Floats(first_bytes_.data() + value_bytes_ + slice.state_offset));
    }
  }

  bool values_are_floats() const override { return plain_reads_; }
  bool saves_floats_as_they_lie() const override { return true; }

  void InitValues(int64_t fid, char* value) const override { FillValues(fid, value); }

  void Read(const char* value, float* embedding) const override {
    const auto* stored = reinterpret_cast<const float*>(value);
    for (const Slice& slice : slices_) {
      if (slice.retriever != nullptr) {
        slice.retriever->Read(stored + slice.offset, slice.dim, embedding + slice.offset);
      } else {
        std::copy_n(stored + slice.offset, slice.dim, embedding + slice.offset);
      }
    }
  }

  void Assign(const float* embedding, char* value) const override { std::memcpy(value, embedding, value_bytes_); }

  void AssignAdd(const float* delta, char* value) const override {
    float* weights = Floats(value);
    for (int i = 0; i < dim_; ++i) weights[i] += delta[i];
  }

  void CheckOptimize(int64_t global_step) const override {
    if (needs_global_step_ && global_step < 0) {
      throw TableError("table '" + config_.name + "': global_step is " + std::to_string(global_step) +
                       "; a slice of it (batch_softmax, one_bit) depends on the step, which must be >= 0.");
    }
  }

  void Optimize(const EntryStep* steps, int n, const float* learning_rates, int64_t global_step) const override {
    if (num_slices_ == 1 && !slices_[0].scales_gradients) {
      return slices_[0].optimizer->StepEach(steps, n, {learning_rates[0], global_step});
    }
    for (size_t i = 0; i < slices_.size(); ++i) {
      OptimizeSlice(slices_[i], steps, n, {learning_rates[i], global_step});
    }
  }

  bool needs_looked_up() const override { return needs_looked_up_; }

  char* SaveRest(const char* value, const char* state, uint32_t update_ts, char* out) const override {
    EntryDumpWriter writer(out);
    writer.WriteValues(reinterpret_cast<const float*>(value), dim_);
    writer.WriteOptimizerStates(schemas_, slice_state_bytes_, state);
    writer.WriteUpdateTime(update_ts);
    return writer.end();
  }

  void Restore(const SavedEntry& saved, char* value, char* state) const override {
    if (saved.num_values < static_cast<size_t>(dim_)) FillValues(saved.fid, value);
    if (saved.num_values > 0) std::memcpy(value, saved.values, sizeof(float) * saved.num_values);
    size_t next = 0;
    for (size_t i = 0; i < slices_.size(); ++i) {
      char* own = state + slices_[i].state_offset;
      slices_[i].optimizer->InitState(Floats(own));
      if (schemas_[i] == nullptr || next == saved.num_states) continue;
      RestoreState(saved.states[next++], *schemas_[i], slice_state_bytes_[i], own);
    }
  }

 private:
  struct Slice {
    int dim;
    int offset;        // floats
    int state_offset;  // bytes
    std::unique_ptr<Initializer> initializer;
    std::unique_ptr<Optimizer> optimizer;
    std::unique_ptr<Retriever> retriever;  // null: reads are plain
    bool scales_gradients;
  };

  // Compressors are all set or all unset: half of them would leave it open how the others are read.
  static std::unique_ptr<Retriever> NewRetrieverOf(const TableConfig& config, const SliceConfig& slice,
                                                   const Optimizer& optimizer) {
    if (slice.compressor.name.empty() != config.slices[0].compressor.name.empty()) {
      throw TableError(
          "the compressor is set in some slices and unset in others; set it in all of them (fp32 reads "
          "what is stored), or in none.");
    }
    std::unique_ptr<Retriever> retriever = NewRetriever(slice.compressor);
    if (retriever != nullptr && optimizer.needs_looked_up()) {
      throw TableError("dc compares weights with what was looked up, and lookups through " + slice.compressor.name +
                       " give other floats than the entry holds; use fp16 or fp32, or another optimizer.");
    }
    return retriever;
  }

  // The caller's gradient is an op's input: the result lies in memory of the thread, until the next call.
  static const float* ScaledGradient(const Slice& slice, const float* weights, const float* gradient,
                                     int64_t global_step) {
    thread_local std::vector<float> scaled;
    scaled.resize(slice.dim);
    slice.retriever->ScaleGradient(weights, gradient, slice.dim, global_step, scaled.data());
    return scaled.data();
  }

  static void OptimizeSlice(const Slice& slice, const EntryStep* steps, int n, const StepContext& context) {
    EntryStep own[kMostSteps];
    for (int i = 0; i < n; ++i) {
      own[i] = {steps[i].weights + slice.offset, steps[i].state + slice.state_offset / sizeof(float),
                steps[i].gradient + slice.offset,
                steps[i].looked_up == nullptr ? nullptr : steps[i].looked_up + slice.offset};
    }
    if (!slice.scales_gradients) return slice.optimizer->StepEach(own, n, context);
    for (int i = 0; i < n; ++i) {
      own[i].gradient = ScaledGradient(slice, own[i].weights, own[i].gradient, context.global_step);
      slice.optimizer->StepEach(own + i, 1, context);
    }
  }

  void FillValues(int64_t fid, char* value) const {
    for (const Slice& slice : slices_) slice.initializer->Fill(fid, Floats(value) + slice.offset, slice.dim);
  }

  static float* Floats(char* bytes) { return reinterpret_cast<float*>(bytes); }

  const TableConfig config_;
  std::vector<Slice> slices_;
  std::vector<const StateSchema*> schemas_;
  std::vector<int> slice_state_bytes_;
  bool plain_reads_ = true;
  bool needs_global_step_ = false;
  bool needs_looked_up_ = false;
};

class ServingCodec : public EntryCodec {
 public:
  explicit ServingCodec(const TableConfig& config) : config_(config) {
    for (size_t i = 0; i < config.slices.size(); ++i) {
      const SliceConfig& spec = config.slices[i];
      auto compressor = ForSlice(config, i, [&] { return NewCompressor(spec.compressor); });
      const size_t bytes = compressor->Bytes(spec.dim);
      slices_.push_back({spec.dim, dim_, value_bytes_, std::move(compressor)});
      dim_ += spec.dim;
      value_bytes_ += bytes;
    }
    num_slices_ = static_cast<int>(slices_.size());
    most_saved_bytes_ = MostEntryBytes(dim_, {});
    first_bytes_.resize(value_bytes_);
  }

  bool values_are_floats() const override { return false; }
  bool saves_floats_as_they_lie() const override { return false; }
  void InitValues(int64_t, char*) const override {}

  void Read(const char* value, float* embedding) const override {
    for (const Slice& slice : slices_) {
      slice.compressor->Decode(value + slice.byte_offset, slice.dim, embedding + slice.offset);
    }
  }

  void Assign(const float* embedding, char* value) const override {
    for (const Slice& slice : slices_) {
      slice.compressor->Encode(embedding + slice.offset, slice.dim, value + slice.byte_offset);
    }
  }

  void AssignAdd(const float* delta, char* value) const override {
    std::vector<float> sum(dim_);
    Read(value, sum.data());
    for (int i = 0; i < dim_; ++i) sum[i] += delta[i];
    Assign(sum.data(), value);
  }

  void Optimize(const EntryStep*, int, const float*, int64_t) const override {}
  void CheckOptimize(int64_t) const override {
    throw TableError("table '" + config_.name +
                     "' has serving entries, which hold no optimizer state; train the "
                     "table that it was exported from.");
  }

  char* SaveRest(const char* value, const char*, uint32_t update_ts, char* out) const override {
    std::vector<float> embedding(dim_);
    Read(value, embedding.data());
    EntryDumpWriter writer(out);
    writer.WriteValues(embedding.data(), dim_);
    writer.WriteUpdateTime(update_ts);
    return writer.end();
  }

  void Restore(const SavedEntry& saved, char* value, char*) const override {
    if (saved.num_values == static_cast<size_t>(dim_)) return Assign(saved.values, value);
    std::vector<float> embedding(dim_);
    std::copy_n(saved.values, saved.num_values, embedding.begin());
    Assign(embedding.data(), value);
  }

 private:
  struct Slice {
    int dim;
    int offset;          // floats
    size_t byte_offset;  // in the value bytes
    std::unique_ptr<Compressor> compressor;
  };

  const TableConfig config_;
  std::vector<Slice> slices_;
};

}  // namespace

char* EntryCodec::Save(int64_t fid, const char* value, const char* state, uint32_t update_ts, char* out) const {
  EntryDumpWriter writer(out);
  writer.WriteFid(fid);
  return SaveRest(value, state, update_ts, writer.end());
}

std::string EntryCodec::Saved(int64_t fid, const char* value, const char* state, uint32_t update_ts) const {
  std::string saved(most_saved_bytes_, '\0');
  saved.resize(Save(fid, value, state, update_ts, saved.data()) - saved.data());
  return saved;
}

std::string EntryCodec::SavedWithoutFid(const char* value, const char* state, uint32_t update_ts) const {
  std::string saved(most_saved_bytes_, '\0');
  saved.resize(SaveRest(value, state, update_ts, saved.data()) - saved.data());
  return saved;
}

void EntryCodec::CheckSaved(const std::string& table, const SavedEntry& saved) const {
  if (saved.num_values <= static_cast<size_t>(dim_)) return;
  throw TableError("table '" + table + "' has dim " + std::to_string(dim_) + ", but the saved entry of fid " +
                   std::to_string(saved.fid) + " has " + std::to_string(saved.num_values) +
                   " values; restore into a table of that dim or more.");
}

std::unique_ptr<EntryCodec> NewEntryCodec(const TableConfig& config) {
  if (config.slices.empty()) {
    throw TableError("table '" + config.name +
                     "' has no slices; give it at least one with a dim, an initializer and "
                     "an optimizer.");
  }
  for (size_t i = 0; i < config.slices.size(); ++i) {
    if (config.slices[i].dim <= 0) {
      throw TableError("table '" + config.name + "', slice " + std::to_string(i) + ": dim_size is " +
                       std::to_string(config.slices[i].dim) + "; it must be at least 1.");
    }
  }
  const bool serving = config.entry_type == TableConfig::EntryType::kServing;
  if (config.skip_zero_embedding && !serving) {
    throw TableError("table '" + config.name + "': skip_zero_embedding is for serving entries; turn it off.");
  }
  if (serving) return std::make_unique<ServingCodec>(config);
  return std::make_unique<TrainingCodec>(config);
}

}  // namespace monolith
