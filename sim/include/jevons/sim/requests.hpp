// Requests of a served workload: drawn from length distributions or read from a trace.
//
// Own generator (PCG-XSH-RR 64/32, O'Neill 2014) and inverse distribution functions, so that a seed
// gives the same requests with every standard library. Traces: the contract's CSV
// (arrival_s,input_tokens,output_tokens[,prefix_hit_tokens]), the Azure LLM inference trace
// (TIMESTAMP,ContextTokens,GeneratedTokens) and Mooncake JSON lines (timestamp in ms, input_length,
// output_length, hash_ids of blocks of 512 tokens: a leading run of blocks seen before is a prefix
// hit).
#pragma once

#include "jevons/sim/scenario.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace jevons::sim {

class Pcg32 {
 public:
  explicit Pcg32(std::uint64_t seed, std::uint64_t stream = 54);
  [[nodiscard]] std::uint32_t next();
  /// Uniform on the open interval (0, 1).
  [[nodiscard]] double uniform();
  [[nodiscard]] double exponential();        ///< mean one
  [[nodiscard]] double normal();             ///< by inversion
  [[nodiscard]] double gamma(double shape);  ///< scale one; Marsaglia and Tsang 2000

 private:
  std::uint64_t state_ = 0, increment_ = 0;
};

struct Request {
  double arrival_s = 0;  ///< unused in a closed loop
  double input = 1;      ///< tokens of the prompt
  double cached = 0;     ///< of those, in the prefix cache; less than input
  double output = 1;
};

/// One length: at least one token, whole. Lognormal: the mean is that of the lengths, not of their
/// logarithms.
[[nodiscard]] double draw_length(const Length& length, Pcg32& random);

inline constexpr double kMostRequests = 1e8;  ///< drawn at once

/// `count` requests of the scenario's traffic in order of arrival; arrivals only for open traffic.
/// Throws Error(bad_input) beyond kMostRequests.
[[nodiscard]] std::vector<Request> draw_requests(const ServeSpec& spec, std::size_t count,
                                                 std::uint64_t seed);

/// Reads a trace by its columns. `name` appears in messages. Throws Error(bad_input) with line and
/// column.
[[nodiscard]] std::vector<Request> parse_trace(std::string_view text, const std::string& name);
/// The file of the scenario's trace traffic.
[[nodiscard]] std::vector<Request> read_trace(const std::string& path);

}  // namespace jevons::sim
