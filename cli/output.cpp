#include "output.hpp"

#include "jevons/core/error.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace jevons::cli {
namespace {

// Signal handlers may only touch fixed storage.
constexpr std::size_t kSlots = 4, kPathLength = 4096;
std::array<std::array<char, kPathLength>, kSlots> g_temporaries{};

void remember(const std::string& path) {
  for (auto& slot : g_temporaries) {
    if (slot[0] != '\0' || path.size() >= kPathLength) continue;
    std::memcpy(slot.data(), path.c_str(), path.size() + 1);
    return;
  }
}

void forget(const std::string& path) {
  for (auto& slot : g_temporaries) {
    if (path == slot.data()) slot[0] = '\0';
  }
}

void interrupted(int /*signal*/) {
  for (const auto& slot : g_temporaries) {
    if (slot[0] != '\0') ::unlink(slot.data());
  }
  ::_exit(130);
}

[[noreturn]] void cannot_write(const std::string& flag, const std::string& path, int error) {
  throw bad_input(flag + " " + path, "cannot write: " + std::string(std::strerror(error)));
}

bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

OutputFile::OutputFile(std::string_view flag, const std::string& path) : flag_(flag), path_(path) {
  if (is_stdout()) return;
  struct stat status{};
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) cannot_write(flag_, path_, EISDIR);
  // A device or pipe (/dev/null, >(cmd)) has no place beside it: it is written at the end.
  if (exists && !S_ISREG(status.st_mode)) return;
  if (exists && ::access(path.c_str(), W_OK) != 0) cannot_write(flag_, path_, errno);
  temporary_ = path + ".tmp." + std::to_string(::getpid());
  const int descriptor = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    const int error = errno;
    temporary_.clear();
    cannot_write(flag_, path_, error);
  }
  ::close(descriptor);
  remember(temporary_);
}

OutputFile::~OutputFile() {
  if (temporary_.empty()) return;
  if (!done_) ::unlink(temporary_.c_str());
  forget(temporary_);
}

void OutputFile::write(std::string_view text) {
  if (is_stdout()) return print(text);
  const std::string& target = temporary_.empty() ? path_ : temporary_;
  const int descriptor = ::open(target.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) cannot_write(flag_, path_, errno);
  const bool ok = write_all(descriptor, text);
  const int error = errno;
  if (::close(descriptor) != 0 || !ok) cannot_write(flag_, path_, ok ? errno : error);
  if (!temporary_.empty() && ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    cannot_write(flag_, path_, errno);
  }
  done_ = true;
}

void install_interrupt_handler() {
  struct sigaction action{};
  action.sa_handler = interrupted;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

void print(std::string_view text) {
  if (write_all(STDOUT_FILENO, text) || errno == EPIPE) return;
  throw bad_input("standard output", "cannot write: " + std::string(std::strerror(errno)));
}

void note(std::string_view text) {
  (void)write_all(STDERR_FILENO, text);
}

}  // namespace jevons::cli
