#include "run.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

Folder::Folder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "jevons_test_XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) FAIL("no temporary folder");
  path_ = pattern;
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string Folder::put(const std::string& name, const std::string& text) const {
  std::ofstream(file(name), std::ios::binary) << text;
  return file(name);
}

std::vector<std::string> Folder::names() const {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    out.push_back(entry.path().filename().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

Ran jevons_run(const std::vector<std::string>& arguments, const std::string& input) {
  const Folder folder;
  const std::string in = folder.put("in", input), out = folder.file("out"),
                    err = folder.file("err");
  const pid_t child = ::fork();
  if (child == 0) {
    const auto redirect = [](const std::string& path, int flags, int target) {
      const int descriptor = ::open(path.c_str(), flags, 0600);
      if (descriptor < 0 || ::dup2(descriptor, target) < 0) ::_exit(120);
    };
    redirect(in, O_RDONLY, 0);
    redirect(out, O_WRONLY | O_CREAT | O_TRUNC, 1);
    redirect(err, O_WRONLY | O_CREAT | O_TRUNC, 2);
    std::vector<char*> argv;
    std::string binary = JEVONS_BINARY;
    argv.push_back(binary.data());
    std::vector<std::string> copies = arguments;
    for (std::string& argument : copies) argv.push_back(argument.data());
    argv.push_back(nullptr);
    ::execv(binary.c_str(), argv.data());
    ::_exit(121);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  Ran ran;
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  ran.out = slurp(out);
  ran.err = slurp(err);
  return ran;
}

TEST_CASE("cli: help and version are results, not messages") {
  const Ran help = jevons_run({"--help"});
  CHECK(help.code == 0);
  CHECK(contains(help.out, "train"));
  CHECK(help.err.empty());
  const Ran version = jevons_run({"--version"});
  CHECK(version.code == 0);
  CHECK(contains(version.out, "jevons "));
  for (const char* verb : {"train", "serve", "roofline", "compare", "diff", "validate"}) {
    CHECK(jevons_run({verb, "--help"}).code == 0);
  }
}
