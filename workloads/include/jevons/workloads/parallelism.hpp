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
  // Distance of neighbours in the global numbering: tp counts fastest, then cp, dp and pp; in
  // expert layers etp, then ep.
  [[nodiscard]] long cp_stride() const { return tp; }
  [[nodiscard]] long dp_stride() const { return tp * cp; }
  [[nodiscard]] long pp_stride() const { return tp * cp * dp; }
  [[nodiscard]] long ep_stride() const { return etp; }
  /// Data-parallel copies of an expert: ep · etp must divide tp · cp · dp (Megatron-Core folding).
  [[nodiscard]] long expert_dp() const { return tp * cp * dp / (ep * etp); }
};

}  // namespace jevons::workloads
