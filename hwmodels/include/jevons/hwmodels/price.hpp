// Prices, electricity, carbon, facility: dated figures with sources.
#pragma once

#include "jevons/core/provenance.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace jevons::hwmodels {

struct RentalPrice {
  std::string accelerator, date, provider, basis;
  double usd_per_accelerator_hour = 0.0;
  Source source;
  std::string note;
};

struct PurchasePrice {
  std::string accelerator, date, basis;
  double usd_per_accelerator = 0.0;
  Source source;
  std::string note;
};

/// All of facts/economics: lists by kind, and scalar figures by dotted name ("pue.default").
struct PriceBook {
  std::vector<RentalPrice> rental;
  std::vector<PurchasePrice> purchase;
  std::vector<RentalPrice> ownership;  ///< all-in owned, usd per accelerator-hour
  /// Retold market history, kept apart from the observations.
  std::vector<RentalPrice> history;
  /// A list or table of values is spread over ".0", ".1" … or ".key".
  std::map<std::string, Sourced, std::less<>> figures;
  std::map<std::string, std::string, std::less<>> texts;  ///< figures that are words

  /// The newest rental observation of the SKU at or before `as_of` (empty: any date). Of several on
  /// one date, the median.
  [[nodiscard]] const RentalPrice* latest_rental(std::string_view accelerator,
                                                 std::string_view as_of = {}) const;
  [[nodiscard]] const PurchasePrice* latest_purchase(std::string_view accelerator,
                                                     std::string_view as_of = {}) const;
  /// Throws Error(internal) when the name is unknown.
  [[nodiscard]] const Sourced& figure(std::string_view name) const;
};

}  // namespace jevons::hwmodels
