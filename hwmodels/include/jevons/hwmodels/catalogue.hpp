// The catalogue of what exists: SKUs, classes, stacks, prices; embedded, overlaid from disk.
#pragma once

#include "jevons/core/json_reader.hpp"
#include "jevons/hwmodels/accelerator.hpp"
#include "jevons/hwmodels/claims.hpp"
#include "jevons/hwmodels/price.hpp"
#include "jevons/hwmodels/stack.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace jevons::hwmodels {

class Catalogue {
 public:
  /// Parses nothing until asked: start-up of the command line stays under 0.2 s.
  Catalogue() = default;

  [[nodiscard]] std::vector<std::string> accelerator_ids() const;  ///< sorted
  [[nodiscard]] std::vector<std::string> stack_ids() const;        ///< contract section 5 order
  /// A preset id, or a path to a SKU file (contains '/' or ends in .json). A file or object may say
  /// "based_on": id and then gives only what differs; its figures may be plain numbers.
  /// Throws Error(bad_input) with the nearest names, or file and pointer.
  [[nodiscard]] Accelerator accelerator(std::string_view id_or_path, std::string_view where) const;
  /// An inline SKU object of a scenario.
  [[nodiscard]] Accelerator accelerator(const Json& object, std::string_view file,
                                        std::string_view pointer) const;
  /// A stack id, or a path to a stack file.
  [[nodiscard]] Stack stack(std::string_view id_or_path, std::string_view where) const;
  /// The constants a part of this generation starts from: generic ← bases ← class.
  [[nodiscard]] Constants class_constants(std::string_view generation) const;
  /// What stacks on a shared base ("_train", "_serve"; empty: none) start from.
  [[nodiscard]] Constants shared_stack_constants(const std::string& base) const;
  /// The stack used when the scenario names none: by task and vendor. Documented in the result.
  [[nodiscard]] std::string default_stack(const Accelerator& accelerator,
                                          std::string_view task) const;
  [[nodiscard]] PriceBook prices() const;
  [[nodiscard]] Claims claims() const;
};

/// The text of a data file as shipped ("accelerators/h100-sxm.json"); empty if there is none.
[[nodiscard]] std::string_view data_file(std::string_view path);

}  // namespace jevons::hwmodels
