// Entry point: parse, dispatch, and turn every failure into a message and an exit code.
#include "options.hpp"
#include "output.hpp"
#include "verbs.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reports/text.hpp"

#include <array>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <unistd.h>
#include <utility>

namespace jevons::cli {
namespace {

using Function = int (*)(const Options&);
constexpr std::array<std::pair<std::string_view, Function>, 16> kVerbs{{
    {"train", run_verb},
    {"serve", run_verb},
    {"roofline", run_verb},
    {"compare", compare_verb},
    {"explain", explain_verb},
    {"plan", plan_verb},
    {"fit", fit_verb},
    {"list", list_verb},
    {"show", show_verb},
    {"schema", schema_verb},
    {"validate", validate_verb},
    {"report", report_verb},
    {"diff", diff_verb},
    {"calibrate", calibrate_verb},
    {"kernels", kernels_verb},
    {"completion", completion_verb},
}};

int dispatch(const Options& options) {
  for (const auto& [name, function] : kVerbs) {
    if (name == options.verb) return function(options);
  }
  throw Error(ErrorKind::internal, "", "verb '" + options.verb + "' has no function");
}

int complain(const std::string& text, int code) {
  note("jevons: " + reports::printable(text) + "\n");
  return code;
}

int run(int argc, const char* const* argv) {
  const Parsed parsed = parse_arguments(argc, argv);
  if (!parsed.run) {
    print(parsed.out);
    note(parsed.err);
    return parsed.exit_code;
  }
  return dispatch(parsed.options);
}

}  // namespace

bool use_color() {
  const char* off = std::getenv("NO_COLOR");
  return (off == nullptr || *off == '\0') && ::isatty(STDOUT_FILENO) == 1;
}

int guarded(int argc, const char* const* argv) {
  try {
    install_interrupt_handler();
    return run(argc, argv);
  } catch (const Error& error) {
    return complain(error.what(), error.exit_code());
  } catch (const std::bad_alloc&) {
    return complain("out of memory", 5);
  } catch (const std::exception& error) {
    return complain(std::string("internal error: ") + error.what(), 5);
  } catch (...) {
    return complain("internal error", 5);
  }
}

}  // namespace jevons::cli

int main(int argc, char** argv) {
  return jevons::cli::guarded(argc, argv);
}
