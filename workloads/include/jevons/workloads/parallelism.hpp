// A parallel layout and the sizes that follow from it.
#pragma once

#include <optional>
#include <string>

namespace jevons::workloads {

enum class Sharding { none, zero1, zero2, zero3, fsdp };

struct Parallelism {
  long tp = 1, pp = 1, vpp = 1, cp = 1, ep = 1, etp = 1, dp = 1;
  bool sp = false;
  Sharding sharding = Sharding::none;
  long sharding_group = 0;  ///< 0: the whole data-parallel group
  [[nodiscard]] long world() const { return tp * pp * cp * dp; }
  /// Data-parallel copies of an expert: ep · etp must divide tp · cp · dp (Megatron-Core folding).
  [[nodiscard]] long expert_dp() const { return tp * cp * dp / (ep * etp); }
};

}  // namespace jevons::workloads
