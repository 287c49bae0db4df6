// One function per verb; each returns the exit code.
#pragma once

#include "options.hpp"

namespace jevons::cli {

[[nodiscard]] int run_verb(const Options& options);  ///< train, serve, roofline
[[nodiscard]] int compare_verb(const Options& options);
[[nodiscard]] int explain_verb(const Options& options);
[[nodiscard]] int list_verb(const Options& options);
[[nodiscard]] int show_verb(const Options& options);
[[nodiscard]] int schema_verb(const Options& options);
[[nodiscard]] int validate_verb(const Options& options);
[[nodiscard]] int report_verb(const Options& options);
[[nodiscard]] int diff_verb(const Options& options);
[[nodiscard]] int calibrate_verb(const Options& options);
[[nodiscard]] int kernels_verb(const Options& options);
[[nodiscard]] int plan_verb(const Options& options);
[[nodiscard]] int fit_verb(const Options& options);
[[nodiscard]] int completion_verb(const Options& options);

/// main() without main: everything is caught.
[[nodiscard]] int guarded(int argc, const char* const* argv);
/// Whether escapes may be written: a terminal, and NO_COLOR not set.
[[nodiscard]] bool use_color();

}  // namespace jevons::cli
