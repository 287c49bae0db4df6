#include "jevons/core/error.hpp"
#include "jevons/sim/run.hpp"

namespace jevons::sim {

Result run_train(const Scenario& /*scenario*/, const RunOptions& /*options*/) {
  throw Error(ErrorKind::internal, "", "the train simulation has not landed yet");
}

}  // namespace jevons::sim
