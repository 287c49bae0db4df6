// Measured acceptance of draft tokens by position, one data file a curve.
#pragma once

#include "jevons/core/provenance.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace jevons::workloads {

struct AcceptanceCurve {
  std::string id, name;
  std::string method;              ///< "mtp", "draft" or "ngram"
  std::vector<double> acceptance;  ///< of position i, given that all before it were accepted
  /// Mean tokens of a step with 1, 2 … draft tokens, the bonus token included, as measured.
  std::vector<double> measured_tokens_per_step;
  Source source;
};

[[nodiscard]] const std::vector<AcceptanceCurve>& acceptance_curves();

/// Throws Error(bad_input) with the nearest names; `where` names the place of the wrong one.
[[nodiscard]] const AcceptanceCurve& acceptance_curve(std::string_view id, std::string_view where);

}  // namespace jevons::workloads
