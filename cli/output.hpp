// Output files that are whole or absent: written beside their place, then renamed.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace jevons::cli {

/// Claimed before the work begins, so that a path that cannot be written is told in the first
/// moment. "-" is standard output.
class OutputFile {
 public:
  /// Throws Error(bad_input) when the place cannot be written.
  OutputFile(std::string_view flag, const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::string_view text);
  [[nodiscard]] bool is_stdout() const { return path_ == "-"; }

 private:
  std::string flag_, path_, temporary_;
  bool done_ = false;
};

/// Removes temporary files when the user interrupts; exits 130.
void install_interrupt_handler();

/// Writes to standard output; a reader that went away is no error, a full disk is.
void print(std::string_view text);
/// Messages and progress.
void note(std::string_view text);

}  // namespace jevons::cli
