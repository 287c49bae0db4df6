// Runs the real binary and keeps what it says.
#pragma once

#include <string>
#include <vector>

struct Ran {
  int code = -1;  ///< exit code; 128 + signal when it was killed
  std::string out, err;
};

/// `arguments` are passed as they are (no shell); `input` goes to standard input.
[[nodiscard]] Ran jevons_run(const std::vector<std::string>& arguments,
                             const std::string& input = {});

/// A folder of its own for one test, removed afterwards.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
  /// Writes a file and gives its path.
  std::string put(const std::string& name, const std::string& text) const;
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  std::string path_;
};

[[nodiscard]] std::string slurp(const std::string& path);
[[nodiscard]] bool contains(const std::string& text, const std::string& part);
