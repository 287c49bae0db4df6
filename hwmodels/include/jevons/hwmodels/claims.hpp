// Published claims that the simulator can put to the test, with what is known about each.
#pragma once

#include "jevons/core/provenance.hpp"

#include <map>
#include <string>
#include <vector>

namespace jevons::hwmodels {

struct Claim {
  std::string id, claim, truth, verdict;
  std::vector<std::string> sections, sources;
  Mark mark = Mark::unverified;
  std::string experiment_kind;  ///< "scenario", "compare", "sweep", "arithmetic", "show", "none"
  std::string experiment_json;  ///< the whole experiment object, as JSON text
};

struct Claims {
  std::string title, date;
  std::map<std::string, std::string, std::less<>> verdicts;  ///< id → meaning
  std::vector<Claim> claims;
  std::vector<std::string> not_in_the_essay;
};

}  // namespace jevons::hwmodels
