#include "jevons/sim/money.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>

namespace jevons::sim {
namespace {

constexpr double kHoursPerYear = 8766.0;  // 365.25 days
constexpr double kHoursPerMonth = kHoursPerYear / 12.0;
constexpr double kWattsPerKilowatt = 1000.0;
constexpr double kJoulesPerKwh = 3.6e6;
constexpr double kTokensPerMillion = 1e6;

Breakdown part(std::string name, double value, std::string formula) {
  return {.name = std::move(name),
          .value = value,
          .unit = "usd",
          .children = {},
          .formula = std::move(formula)};
}

HourlyPrice owned(const PriceSpec& price, Watts it_power, double pue, long accelerators) {
  const double capital =
      price.accelerator_usd + price.server_usd_per_accelerator + price.network_usd_per_accelerator;
  const double factor = annuity(price.cost_of_capital, price.depreciation_years);
  const double kilowatts = it_power.raw() / kWattsPerKilowatt;
  HourlyPrice result;
  result.parts.push_back(part(
      "capital", capital * factor / kHoursPerYear / price.utilisation,
      fmt::format("{:.0f} USD x annuity({:g}, {:g} years) = {:.4f} / {:.0f} h / utilisation {:g}",
                  capital, price.cost_of_capital, price.depreciation_years, factor, kHoursPerYear,
                  price.utilisation)));
  result.parts.push_back(part("electricity", kilowatts * pue * price.electricity_usd_per_kwh,
                              fmt::format("{:.4f} kW IT x PUE {:g} x {:g} USD/kWh", kilowatts, pue,
                                          price.electricity_usd_per_kwh)));
  if (price.colocation_usd_per_kw_month > 0) {
    result.parts.push_back(
        part("colocation", price.colocation_usd_per_kw_month * kilowatts / kHoursPerMonth,
             fmt::format("{:g} USD per kW and month x {:.4f} kW IT / {:.1f} h",
                         price.colocation_usd_per_kw_month, kilowatts, kHoursPerMonth)));
  }
  if (price.staff_usd_per_hour > 0) {
    const double share = price.staff_usd_per_hour / static_cast<double>(std::max(accelerators, 1L));
    result.parts.push_back(
        part("staff", share,
             fmt::format("{:g} USD/h / {} accelerators", price.staff_usd_per_hour, accelerators)));
  }
  for (const Breakdown& item : result.parts) result.usd_per_accelerator_hour += item.value;
  return result;
}

}  // namespace

double annuity(double rate, double years) {
  // expm1 and log1p keep full precision when the rate is small.
  if (rate == 0.0) return 1.0 / years;
  return rate / -std::expm1(-years * std::log1p(rate));
}

double epoch_capital_usd_per_hour(double capital_usd, double oom_per_year) {
  return capital_usd * oom_per_year * std::numbers::ln10 / kHoursPerYear;
}

double usd_per_mtok(double usd_per_hour, double tokens_per_s) {
  return usd_per_hour / (tokens_per_s * kSecondsPerHour / kTokensPerMillion);
}

std::optional<HourlyPrice> hourly_price(const PriceSpec& price, Watts it_power, double pue,
                                        long accelerators) {
  if (price.basis == PriceSpec::Basis::owned) return owned(price, it_power, pue, accelerators);
  if (!price.usd_per_accelerator_hour) return std::nullopt;
  HourlyPrice result;
  result.usd_per_accelerator_hour = *price.usd_per_accelerator_hour;
  result.parts.push_back(part("rental", *price.usd_per_accelerator_hour, "given price"));
  return result;
}

std::optional<Earnings> earnings(const SellPrices& prices, const SoldTokens& tokens,
                                 double cost_usd_per_hour) {
  const double fresh = std::max(0.0, tokens.input_per_s - tokens.cached_input_per_s);
  const double usd_per_s = (fresh * prices.input_usd_per_mtok +
                            tokens.cached_input_per_s * prices.cached_input_usd_per_mtok +
                            tokens.output_per_s * prices.output_usd_per_mtok) /
                           kTokensPerMillion;
  const double revenue = usd_per_s * kSecondsPerHour;
  if (revenue <= 0 || cost_usd_per_hour <= 0) return std::nullopt;
  Earnings result;
  result.revenue_usd_per_hour = revenue;
  result.margin = (revenue - cost_usd_per_hour) / revenue;
  result.markup = (revenue - cost_usd_per_hour) / cost_usd_per_hour;
  result.break_even_utilisation = cost_usd_per_hour / revenue;
  return result;
}

Goodput goodput(const Failures& failures, long accelerators, Seconds checkpoint_write) {
  Goodput result;
  if (failures.mtbf_accelerator_hours <= 0) return result;
  const double write = checkpoint_write.raw();
  const double between =
      failures.mtbf_accelerator_hours * kSecondsPerHour / static_cast<double>(accelerators);
  const double interval = failures.checkpoint_interval_s.value_or(std::sqrt(2.0 * write * between));
  const double writing = interval > 0 ? write / interval : 0.0;
  const double lost = writing + (interval / 2.0 + failures.restart_s) / between;
  result.interval = Seconds(interval);
  result.interruptions_per_hour = kSecondsPerHour / between;
  result.fraction = std::max(0.0, 1.0 - lost);
  return result;
}

double played_goodput(const Failures& failures, long accelerators, Seconds checkpoint_write,
                      Seconds work, unsigned long seed) {
  const double interval = goodput(failures, accelerators, checkpoint_write).interval.raw();
  const double between =
      failures.mtbf_accelerator_hours * kSecondsPerHour / static_cast<double>(accelerators);
  // Machines that fail faster than they restart would be played for ever: by then the share is
  // known.
  constexpr long kMostFailures = 1000000;
  std::mt19937_64 random(seed);
  std::exponential_distribution<double> lifetime(1 / between);
  double now = 0, done = 0, next = lifetime(random);
  for (long failed = 0; failed < kMostFailures; ++failed) {
    // Checkpoints that are complete before the next failure, or all that are needed.
    const double left = work.raw() - done;
    const double needed = std::ceil(left / interval), each = interval + checkpoint_write.raw();
    const double complete = std::min(needed, std::floor(std::max(0.0, next - now) / each));
    const double all = left + needed * checkpoint_write.raw();
    if (now + all <= next) return work.raw() / (now + all);
    done += std::min(complete, needed - 1) * interval;
    now = next + failures.restart_s;
    next += lifetime(random);
    while (next < now && ++failed < kMostFailures) {  // a restart that fails begins anew
      now = next + failures.restart_s;
      next += lifetime(random);
    }
  }
  return done / now;
}

Seconds checkpoint_write_time(Bytes per_accelerator, Bandwidth per_accelerator_rate) {
  return per_accelerator / per_accelerator_rate;
}

double co2e_kg(Joules facility_energy, double grid_gco2e_per_kwh) {
  return facility_energy.raw() / kJoulesPerKwh * grid_gco2e_per_kwh / 1000.0;
}

}  // namespace jevons::sim
