// The one exception type that crosses a public border. What is wrong, where, and what to do.
#pragma once

#include <stdexcept>
#include <string>

namespace jevons {

/// The value is the exit code of the command line (contract, section 6).
enum class ErrorKind { usage = 2, bad_input = 3, infeasible = 4, internal = 5 };

class Error : public std::runtime_error {
 public:
  /// `where`: file and JSON pointer, or a flag; may be empty. `hint`: the remedy; may be empty.
  Error(ErrorKind kind, std::string where, std::string message, std::string hint = {});

  [[nodiscard]] ErrorKind kind() const { return kind_; }
  [[nodiscard]] int exit_code() const { return static_cast<int>(kind_); }
  [[nodiscard]] const std::string& where() const { return where_; }
  [[nodiscard]] const std::string& message() const { return message_; }
  [[nodiscard]] const std::string& hint() const { return hint_; }

 private:
  ErrorKind kind_;
  std::string where_, message_, hint_;
};

[[nodiscard]] inline Error bad_input(std::string where, std::string message,
                                     std::string hint = {}) {
  return {ErrorKind::bad_input, std::move(where), std::move(message), std::move(hint)};
}

}  // namespace jevons
