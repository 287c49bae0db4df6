#include "jevons/core/error.hpp"
#include "jevons/sim/run.hpp"

namespace jevons::sim {

Result run_serve(const Scenario& /*scenario*/, const RunOptions& /*options*/) {
  throw Error(ErrorKind::internal, "", "the serve simulation has not landed yet");
}

}  // namespace jevons::sim
