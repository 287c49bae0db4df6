// Dollars: rental and owned bases, what serving earns, and what failures cost.
#pragma once

#include "jevons/core/units.hpp"
#include "jevons/sim/power.hpp"
#include "jevons/sim/result.hpp"
#include "jevons/sim/scenario.hpp"

#include <optional>
#include <vector>

namespace jevons::sim {

/// Dollars per accelerator-hour with its parts; empty when the scenario has no price.
struct HourlyPrice {
  double usd_per_accelerator_hour = 0;
  std::vector<Breakdown> parts;  ///< capital, electricity, colocation, staff …, usd per hour
};

/// Rental: the given price. Owned: capital × annuity(r, years) / 8766 / utilisation + electricity +
/// colocation + staff share (formulas.md section 15). Throws nothing; no price gives an empty
/// optional. Electricity is `it_power` × PUE; utilisation divides the capital only.
[[nodiscard]] std::optional<HourlyPrice> hourly_price(const PriceSpec& price, Watts it_power,
                                                      double pue, long accelerators);

/// r / (1 − (1 + r)^−y); 1/y at r = 0.
[[nodiscard]] double annuity(double rate, double years);

/// Continuous fall of price-performance instead of a lifetime: capital x rate x ln 10 per year,
/// rate in orders of magnitude per year (Epoch AI, arXiv 2405.21015: 0.14).
[[nodiscard]] double epoch_capital_usd_per_hour(double capital_usd, double oom_per_year);

/// USD per 1e6 tokens.
[[nodiscard]] double usd_per_mtok(double usd_per_hour, double tokens_per_s);

/// Rates of tokens that a deployment sells.
struct SoldTokens {
  double input_per_s = 0;         ///< all input tokens, cached ones among them
  double cached_input_per_s = 0;  ///< of those, prefix hits
  double output_per_s = 0;
};

struct Earnings {
  double revenue_usd_per_hour = 0;
  double margin = 0;                  ///< (revenue − cost) / revenue
  double markup = 0;                  ///< (revenue − cost) / cost
  double break_even_utilisation = 0;  ///< cost / revenue: share of the tokens that pays the cost
};

/// Empty when nothing is sold or nothing is paid.
[[nodiscard]] std::optional<Earnings> earnings(const SellPrices& prices, const SoldTokens& tokens,
                                               double cost_usd_per_hour);

/// Young/Daly: checkpoint every `interval`, redo half of it on average after an interruption.
///   lost = write/T + (T/2 + restart) N / MTBF,   best T = sqrt(2 write MTBF / N)
struct Goodput {
  Seconds interval;
  double interruptions_per_hour = 0;
  double fraction = 1;  ///< 1 − lost; zero when failures eat everything
};
/// The same by playing the run: failures at exponential intervals, work since the last checkpoint
/// lost, restarts that may fail as well. `work`: seconds of training without any failure.
[[nodiscard]] double played_goodput(const Failures& failures, long accelerators,
                                    Seconds checkpoint_write, Seconds work, unsigned long seed);

[[nodiscard]] Goodput goodput(const Failures& failures, long accelerators,
                              Seconds checkpoint_write);

/// Time to write what must be saved: bytes of one accelerator over its share of storage bandwidth.
[[nodiscard]] Seconds checkpoint_write_time(Bytes per_accelerator, Bandwidth per_accelerator_rate);

/// kWh × g/kWh, in kg.
[[nodiscard]] double co2e_kg(Joules facility_energy, double grid_gco2e_per_kwh);

}  // namespace jevons::sim
