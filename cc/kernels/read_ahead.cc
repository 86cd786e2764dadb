// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/read_ahead.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cc/kernels/record_file.h"

namespace monolith {

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.reset();  // waits for it
}

absl::Status ReadAhead::Open(::tensorflow::Env* env, const std::string& path) {
  TF_RETURN_IF_ERROR(env->GetFileSize(path, &size_));
  TF_RETURN_IF_ERROR(env->NewRandomAccessFile(path, &file_));
  if (size_ > kPiece) thread_.reset(env->StartThread({}, "read_ahead", [this] { ReadAll(); }));
  return absl::OkStatus();
}

void ReadAhead::Read(uint64_t offset, size_t front, Piece* piece) const {
  const size_t n = std::min<uint64_t>(kPiece, size_ - offset);
  if (piece->memory.size() < front + n) piece->memory.resize(front + n);
  char* const room = piece->memory.data() + front;
  absl::string_view got;
  piece->status = ReadAt(*file_, offset, n, room, &got);
  if (got.data() != room) std::memcpy(room, got.data(), got.size());
  piece->begin = front;
  piece->end = front + got.size();
}

void ReadAhead::ReadAll() {
  for (uint64_t i = 0; i * kPiece < size_; ++i) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return stopped_ || i < used_ + kAhead; });
      if (stopped_) return;
    }
    Read(i * kPiece, kFront, &pieces_[i % kAhead]);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++read_;
    }
    changed_.notify_all();
  }
}

void ReadAhead::Join(Piece* next) {
  const size_t left = current_.end - current_.begin;
  if (left > next->begin) {
    std::vector<char> larger(left + next->end);
    std::copy(next->memory.begin() + next->begin, next->memory.begin() + next->end, larger.begin() + left + next->begin);
    next->memory.swap(larger);
    next->begin += left;
    next->end += left;
  }
  next->begin -= left;
  if (left > 0) std::memcpy(next->memory.data() + next->begin, current_.memory.data() + current_.begin, left);
  std::swap(current_, *next);
}

absl::Status ReadAhead::More() {
  const size_t n = std::min<uint64_t>(kPiece, size_ - joined_);
  if (thread_ == nullptr) {
    Piece whole;
    Read(0, 0, &whole);
    TF_RETURN_IF_ERROR(whole.status);
    Join(&whole);
    joined_ += n;
    return absl::OkStatus();
  }
  {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return used_ < read_; });
  }
  Piece* const next = &pieces_[used_ % kAhead];
  TF_RETURN_IF_ERROR(next->status);
  Join(next);
  joined_ += n;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++used_;
  }
  changed_.notify_all();
  return absl::OkStatus();
}

absl::Status ReadAhead::Have(size_t n) {
  while (bytes().size() < n) TF_RETURN_IF_ERROR(More());
  return absl::OkStatus();
}

}  // namespace monolith
