// Numbers for people: "19.9 s", "2.66 M h", "$5.33 M". The unit follows from the metric's name, as
// the contract's key endings fix it.
#pragma once

#include <string>
#include <string_view>

namespace jevons::reports {

/// Three significant digits with an SI prefix: 3.35e12 "B/s" → "3.35 TB/s".
[[nodiscard]] std::string with_prefix(double value, std::string_view unit);
[[nodiscard]] std::string format_seconds(double seconds);  ///< "12.3 us" … "54.2 days"
[[nodiscard]] std::string format_usd(double usd);          ///< "$5.33 M"
/// By the ending of the name: _s, _bytes, _usd, _w, _j, _kg, _per_s, _fraction …; "yes"/"no" is not
/// here.
[[nodiscard]] std::string format_metric(std::string_view name, double value);
/// A metric's name in words: "model_flops_per_s_per_accelerator" → "model FLOP/s per accelerator".
[[nodiscard]] std::string metric_label(std::string_view name);

}  // namespace jevons::reports
