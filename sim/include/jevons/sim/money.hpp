// Dollars: rental and owned bases.
#pragma once

#include "jevons/core/units.hpp"
#include "jevons/sim/power.hpp"
#include "jevons/sim/result.hpp"
#include "jevons/sim/scenario.hpp"

namespace jevons::sim {

/// Dollars per accelerator-hour with its parts; empty when the scenario has no price.
struct HourlyPrice {
  double usd_per_accelerator_hour = 0;
  std::vector<Breakdown> parts;  ///< capital, electricity, colocation, staff …, usd per hour
};

/// Rental: the given price. Owned: capital × annuity(r, years) / 8766 / utilisation + electricity +
/// colocation + staff share (formulas.md section 15). Throws nothing; no price gives an empty
/// optional.
[[nodiscard]] std::optional<HourlyPrice> hourly_price(const PriceSpec& price, Watts it_power,
                                                      double pue, long accelerators);

/// r / (1 − (1 + r)^−y); 1/y at r = 0.
[[nodiscard]] double annuity(double rate, double years);

}  // namespace jevons::sim
