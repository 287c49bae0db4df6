// SHA-256 (FIPS 180-4), for the fingerprint of a result's inputs. Not for secrets.
#pragma once

#include <string>
#include <string_view>

namespace jevons::reports {

/// 64 lower-case hexadecimal digits.
[[nodiscard]] std::string sha256(std::string_view message);

}  // namespace jevons::reports
