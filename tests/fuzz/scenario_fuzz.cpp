// libFuzzer: no string of bytes given as a scenario, model config or result does more than be
// refused or run. Build with clang and -DJEVONS_FUZZ=ON; run `scenario_fuzz tests/scenarios`.
#include "jevons/core/error.hpp"
#include "jevons/reports/result_json.hpp"
#include "jevons/reports/scenario_json.hpp"
#include "jevons/sim/run.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

template <class Read>
void attempt(const Read& read) {
  try {
    read();
  } catch (const jevons::Error& error) {
    // Bad input or "does not fit": an internal error is a defect.
    const bool fair = error.kind() == jevons::ErrorKind::bad_input ||
                      error.kind() == jevons::ErrorKind::infeasible;
    if (!fair) {
      std::fprintf(stderr, "%s\n", error.what());
      std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const jevons::hwmodels::Catalogue catalogue;
  attempt([&] {
    const jevons::Json document = jevons::parse_json(text, "fuzz");
    attempt([&] {
      const auto scenario = jevons::reports::read_scenario(document, "fuzz", catalogue);
      (void)jevons::reports::result_to_json(jevons::sim::run(scenario), "0");
    });
    attempt([&] { (void)jevons::workloads::model_from_config(document, "fuzz"); });
    attempt([&] { (void)jevons::reports::result_from_json(document, "fuzz", catalogue); });
  });
  return 0;
}
