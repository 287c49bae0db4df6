// Remembers what is read from embedded data: it never changes, and a scoreboard asks thousands of
// times for the same few dozen things.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace jevons {

/// Values by name, each made once; safe from several threads. References stay valid.
template <class Value>
class Memo {
 public:
  /// The value of `key`, from `make()` the first time. What `make` throws is not remembered. Two
  /// threads may both make it; one result is kept, so `make` must depend on the key only.
  template <class Make>
  const Value& get(std::string_view key, const Make& make) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto known = values_.find(key); known != values_.end()) return known->second;
    }
    Value made = make();  // outside the lock: it may ask this memo for another key
    const std::lock_guard lock(mutex_);
    return values_.try_emplace(std::string(key), std::move(made)).first->second;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, Value, std::less<>> values_;  // nodes stay where they are
};

}  // namespace jevons
