#include "jevons/sim/money.hpp"

#include "jevons/hwmodels/catalogue.hpp"

#include <doctest/doctest.h>

#include <cmath>

using jevons::Bandwidth;
using jevons::Bytes;
using jevons::Joules;
using jevons::Seconds;
using jevons::Watts;
using namespace jevons::sim;

TEST_CASE("money: an annuity repays the loan to the cent") {
  for (const double rate : {0.01, 0.09, 0.13, 0.3}) {
    for (const double years : {1.0, 4.0, 15.0}) {
      double debt = 1.0;
      const double payment = annuity(rate, years);
      for (int year = 0; year < static_cast<int>(years); ++year) debt = debt * (1 + rate) - payment;
      CHECK(debt == doctest::Approx(0.0).epsilon(1e-12));
    }
  }
  CHECK(annuity(0.0, 4) == 0.25);
  CHECK(annuity(1e-12, 4) == doctest::Approx(0.25));
}

TEST_CASE("money: an owned H100 costs 0.90 USD/h at 0 % and 1.20 at 13 % over four years") {
  PriceSpec price;
  price.basis = PriceSpec::Basis::owned;
  price.accelerator_usd = 31400;
  price.depreciation_years = 4;
  price.electricity_usd_per_kwh = 0;
  price.cost_of_capital = 0;
  const auto free = hourly_price(price, Watts(1275), 1.0, 8);
  price.cost_of_capital = 0.13;
  const auto loan = hourly_price(price, Watts(1275), 1.0, 8);
  REQUIRE(free);
  REQUIRE(loan);
  CHECK(free->usd_per_accelerator_hour == doctest::Approx(0.90).epsilon(0.006));
  CHECK(loan->usd_per_accelerator_hour == doctest::Approx(1.20).epsilon(0.006));
}

TEST_CASE("money: colocation of an H100 is 0.32 USD/h and its electricity 0.143") {
  PriceSpec price;
  price.basis = PriceSpec::Basis::owned;
  price.colocation_usd_per_kw_month = 184;
  price.electricity_usd_per_kwh = 0;
  const auto room = hourly_price(price, Watts(1275), 1.0, 8);
  price.colocation_usd_per_kw_month = 0;
  price.electricity_usd_per_kwh = 0.0826;
  // 1.73 kW is provisioned utility power: the PUE is inside.
  const auto current = hourly_price(price, Watts(1730), 1.0, 8);
  CHECK(room->usd_per_accelerator_hour == doctest::Approx(0.32).epsilon(0.01));
  CHECK(current->usd_per_accelerator_hour == doctest::Approx(0.143).epsilon(0.002));
  // 11 % of the 1.30 USD/h of a hyperscaler.
  CHECK(current->usd_per_accelerator_hour / 1.30 == doctest::Approx(0.11).epsilon(0.01));
}

TEST_CASE("money: the method of Epoch AI gives 1.63 USD/h for an H100") {
  const auto prices = jevons::hwmodels::Catalogue().prices();
  const double chip = epoch_capital_usd_per_hour(
      33750, prices.figure("epoch_cost_method.price_performance_oom_per_year").value);
  const double share = prices.figure("epoch_cost_method.interconnect_share_of_cluster").value;
  const double network = chip * share / (1 - share);
  // TDP x server over chip x average load x PUE x USD/kWh
  const double energy = 0.7 *
                        prices.figure("epoch_cost_method.server_power_over_chip_tdp.h100").value *
                        prices.figure("epoch_cost_method.average_power_over_tdp.gpu").value *
                        prices.figure("epoch_cost_method.pue.other").value * 0.0826;
  CHECK(chip == doctest::Approx(1.241).epsilon(0.001));
  CHECK(network == doctest::Approx(0.291).epsilon(0.002));
  CHECK(energy == doctest::Approx(0.099).epsilon(0.005));
  CHECK(chip + network + energy == doctest::Approx(1.63).epsilon(0.002));
}

TEST_CASE("money: the parts of an owned price add up and utilisation divides the capital") {
  PriceSpec price;
  price.basis = PriceSpec::Basis::owned;
  price.accelerator_usd = 25000;
  price.server_usd_per_accelerator = 8000;
  price.network_usd_per_accelerator = 5000;
  price.colocation_usd_per_kw_month = 150;
  price.staff_usd_per_hour = 200;
  price.utilisation = 0.5;
  const auto half = hourly_price(price, Watts(1000), 1.25, 1000);
  price.utilisation = 1.0;
  const auto full = hourly_price(price, Watts(1000), 1.25, 1000);
  double sum = 0;
  for (const Breakdown& part : half->parts) sum += part.value;
  CHECK(sum == doctest::Approx(half->usd_per_accelerator_hour));
  CHECK(half->parts[0].value == doctest::Approx(2 * full->parts[0].value));
  CHECK(half->usd_per_accelerator_hour - full->usd_per_accelerator_hour ==
        doctest::Approx(full->parts[0].value));
}

TEST_CASE("money: a rental price passes unchanged and no price gives none") {
  PriceSpec price;
  CHECK_FALSE(hourly_price(price, Watts(1000), 1.2, 8));
  price.usd_per_accelerator_hour = 2.0;
  CHECK(hourly_price(price, Watts(1000), 1.2, 8)->usd_per_accelerator_hour == 2.0);
}

TEST_CASE("money: one day of DeepSeek serving costs 87,072 USD and would earn 562,027") {
  const auto prices = jevons::hwmodels::Catalogue().prices();
  const auto day = [&](const char* name) {
    return prices.figure(std::string("deepseek_serving_day.") + name).value;
  };
  const double cost = day("average_nodes") * 8 * day("usd_per_accelerator_hour") * 24;
  CHECK(cost == doctest::Approx(day("cost_usd_per_day")).epsilon(1e-12));
  constexpr double kDay = 86400.0;
  const SellPrices sell{0.55, 0.14, 2.19};
  const SoldTokens tokens{day("input_tokens") / kDay, day("input_tokens_cached") / kDay,
                          day("output_tokens") / kDay};
  const auto earned = earnings(sell, tokens, cost / 24);
  REQUIRE(earned);
  // The token counts are printed to three digits, the revenue to six.
  CHECK(earned->revenue_usd_per_hour * 24 == doctest::Approx(562027).epsilon(2e-4));
  CHECK(earned->markup == doctest::Approx(day("theoretical_margin")).epsilon(0.002));
  CHECK(earned->margin == doctest::Approx(earned->markup / (1 + earned->markup)).epsilon(1e-14));
  CHECK(earned->break_even_utilisation == doctest::Approx(1 - earned->margin).epsilon(1e-14));
}

TEST_CASE("money: dollars per million tokens times tokens per hour is the hourly price") {
  CHECK(usd_per_mtok(2.0, 1000) * 1000 * 3600 / 1e6 == doctest::Approx(2.0));
}

TEST_CASE("money: V3 pre-training bounded by its TDP and a PUE of 1.3 burns 2.42 GWh") {
  const double kwh = 2.664e6 * 0.7 * 1.3;
  CHECK(co2e_kg(Joules(kwh * 3.6e6), 1000.0) == doctest::Approx(2.42e6).epsilon(0.005));
}

TEST_CASE("reliability: Llama 3 on 16,384 H100 is interrupted every 3.09 hours") {
  const auto prices = jevons::hwmodels::Catalogue().prices();
  Failures failures;
  failures.mtbf_accelerator_hours =
      prices.figure("failures.mtbf_accelerator_hours_all_unplanned").value;
  failures.restart_s = 600;
  const Goodput run = goodput(failures, 16384, Seconds(10));
  CHECK(1 / run.interruptions_per_hour == doctest::Approx(3.09).epsilon(0.002));
  // 419 of them in 54 days.
  CHECK(run.interruptions_per_hour * 54 * 24 == doctest::Approx(419).epsilon(0.001));
  // "More than 90 % effective time" needs restarts of about ten minutes.
  CHECK(run.fraction > 0.90);
}

TEST_CASE("reliability: a played run loses what Daly's exact expectation says") {
  // J. Daly, FGCS 22 (2006), eq. 13: T = M e^(R/M) (e^((tau + delta)/M) - 1) T_s / tau.
  Failures failures;
  failures.mtbf_accelerator_hours = 50700;
  failures.restart_s = 900;
  failures.checkpoint_interval_s = 1200;
  const double between = 50700.0 * 3600 / 16384, write = 60, work = 1200 * 3000.0;
  const double expected =
      between * std::exp(900 / between) * (std::exp((1200 + write) / between) - 1) * work / 1200;
  double sum = 0;
  constexpr int kRuns = 40;
  for (unsigned long seed = 1; seed <= kRuns; ++seed) {
    sum += work / played_goodput(failures, 16384, Seconds(write), Seconds(work), seed);
  }
  CHECK(sum / kRuns / expected == doctest::Approx(1).epsilon(0.005));
  CHECK(played_goodput(failures, 16384, Seconds(write), Seconds(work), 7) ==
        played_goodput(failures, 16384, Seconds(write), Seconds(work), 7));
  // Checkpoints by the millisecond and machines that fail before they restart end as well.
  failures.checkpoint_interval_s = 1e-3;
  CHECK(played_goodput(failures, 16384, Seconds(write), Seconds(work), 1) < 1e-3);
  failures.checkpoint_interval_s = 1200;
  failures.mtbf_accelerator_hours = 1;
  CHECK(played_goodput(failures, 16384, Seconds(write), Seconds(work), 1) < 1e-3);
  failures.mtbf_accelerator_hours = 50700;
  // Machines that never live as long as a checkpoint takes make no progress.
  CHECK(played_goodput(failures, 16384, Seconds(1e6), Seconds(work), 1) == 0);
}

TEST_CASE("reliability: no other checkpoint interval beats the square-root rule") {
  Failures failures{.mtbf_accelerator_hours = 50700, .restart_s = 900, .checkpoint_interval_s = {}};
  const Goodput best = goodput(failures, 16384, Seconds(30));
  for (const double factor : {0.5, 0.9, 1.1, 2.0}) {
    failures.checkpoint_interval_s = best.interval.raw() * factor;
    CHECK(goodput(failures, 16384, Seconds(30)).fraction < best.fraction);
  }
}
