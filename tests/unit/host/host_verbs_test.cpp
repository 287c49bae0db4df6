// calibrate and kernels as a user runs them. Only what does not depend on how fast this machine is.
#include "jevons/hwmodels/catalogue.hpp"
#include "jevons/hwmodels/host_calibration.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace {

int run(const std::string& arguments) {
  const int status = std::system(("'" JEVONS_BINARY "' " + arguments + " >/dev/null 2>&1").c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("calibrate writes an SKU file that kernels and roofline read") {
  const fs::path folder =
      fs::temp_directory_path() / ("jevons-host-verbs-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const std::string sku = (folder / "host.json").string(), out = (folder / "out.json").string();
  REQUIRE(run("calibrate --quick -o '" + sku + "'") == 0);
  const auto accelerator = jevons::hwmodels::Catalogue().accelerator(sku, "test");
  const auto calibration = jevons::hwmodels::host_calibration(accelerator);
  CHECK(calibration.peak_fp32_flops_per_s.value > 0);
  CHECK(calibration.gemm.size() >= 10);
  REQUIRE(run("kernels --quick --sku '" + sku + "' --json '" + out + "'") == 0);
  std::ifstream in(out);
  const jevons::Json json = jevons::Json::parse(in);
  CHECK(json["schema"] == "jevons.kernels/1");
  for (const jevons::Json& row : json["rows"]) {
    CAPTURE(row["name"].get<std::string>());
    CHECK(row["predicted_s"].get<double>() > 0);
    CHECK(row["measured_s"].get<double>() > 0);
  }
  CHECK(run("roofline --hw '" + sku +
            "' --count 1 --op gemm --set op.m=64 --set op.n=512 --set op.k=512 --precision fp32") ==
        0);
  fs::remove_all(folder);
}

TEST_CASE("kernels refuses an SKU that calibrate did not write, and a place it cannot write") {
  CHECK(run("kernels --quick --sku h100-sxm") == 3);
  CHECK(run("calibrate --quick -o /no/such/folder/host.json") == 3);
}
