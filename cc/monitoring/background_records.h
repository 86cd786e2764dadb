// SPDX-License-Identifier: Apache-2.0
#ifndef CC_MONITORING_BACKGROUND_RECORDS_H_
#define CC_MONITORING_BACKGROUND_RECORDS_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace monolith {

// Records on their way to somewhere slow: a thread of its own hands them on in their order, all that wait at once. Who
// puts more than there is room for waits. Thread-safe.
class BackgroundRecords {
 public:
  // Takes records and returns what went wrong, "" if nothing did. Called by the one thread only.
  using Write = std::function<std::string(const std::vector<std::string>&)>;

  BackgroundRecords(size_t capacity, Write write);
  // Hands on what still waits.
  ~BackgroundRecords();
  BackgroundRecords(const BackgroundRecords&) = delete;
  BackgroundRecords& operator=(const BackgroundRecords&) = delete;

  // Returns once all records wait for the thread; empty ones are left out. After something went wrong it takes nothing
  // more and returns what that was; "" before.
  std::string Put(std::vector<std::string> records);

 private:
  void Run();

  const size_t capacity_;
  const Write write_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> waiting_;  // guarded by mutex_, as are the next two
  std::string error_;
  bool is_ending_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace monolith

#endif  // CC_MONITORING_BACKGROUND_RECORDS_H_
