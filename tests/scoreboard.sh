#!/usr/bin/env bash
# The scoreboard with its bounds: fails when a prediction gets worse than this.
# Usage: tests/scoreboard.sh [JEVONS]            check the bounds
#        tests/scoreboard.sh --readme [JEVONS]   rewrite the table in README.md as well
# Bounds are those of the plan where they hold, else what holds now (marked with the aim).
set -euo pipefail
cd "$(dirname "$0")/.."
readme=no
[ "${1:-}" = --readme ] && { readme=yes; shift; }
jevons=${1:-build/release/cli/jevons}
truth=tests/truth
speed=step_time_s+tokens_per_s+tokens_per_s_per_accelerator
served=total_tokens_per_s_per_accelerator+output_tokens_per_s+output_tokens_per_s_per_accelerator
bad=0

of_class() { for sku in a100-40gb h100 b200; do echo --group power/$sku-sxm/$1; done; }

check() {
  local name=$1; shift
  local files=() conditions=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do files+=("$1"); shift; done
  shift
  for condition in "$@"; do conditions+=(--fail-if "$condition"); done
  if "$jevons" validate "${files[@]}" -q "${conditions[@]}"; then echo "ok    $name"; else echo "WORSE $name"; bad=1; fi
}

check "conventions" $truth/conventions.json -- 'failures>0' 'p90>2.1%'
check "operators" $truth/ops*.json $truth/training-components.json -- 'failures>0' \
  'time_s+achieved_flops_per_s+achieved_bytes_per_s:median>5%' 'time_s+achieved_flops_per_s+achieved_bytes_per_s:p90>18%'
check "training, event by event" --event $truth/training-{nvidia,papers,open,sweeps,runs}.json -- \
  'failures>0' "$speed:median>4%" "$speed:p90>14%" "$speed:|bias|>2%"
check "training, closed form" $truth/training-{nvidia,papers,open,sweeps}.json -- 'failures>0' "$speed:median>4%" "$speed:p90>14%" "$speed:|bias|>2%"
check "training, whole groups left out" --cross $truth/training-{nvidia,papers,open,sweeps}.json -- 'median>7%' 'p90>18%'
check "training, runs" $truth/training-runs.json -- 'failures>0' 'accelerator_hours:median>12%'
check "training, GPT on A100" --event $truth/training-gpt-a100.json -- 'failures>0' 'median>6%' 'p90>18%'
check "training, H100 sweep" --event $truth/training-sweep-h100.json $truth/training-capacity.json -- 'failures>0' \
  'tokens_per_s_per_accelerator:median>9.5%' 'tokens_per_s_per_accelerator:p90>45%' 'fits:wrong>3%' 'memory_update_bytes:median>6%'
check "training, memory" $truth/training-{papers,open,sweeps,capacity}.json -- 'memory_peak_bytes:median>6%'
check "serving" $truth/serving-*.json -- 'tpot_p50_s+tpot_mean_s:median>6%' 'tpot_p50_s+tpot_mean_s:mape>10%' \
  "$served:median>10%" "$served:p90>35%" 'ttft_p50_s+ttft_mean_s:median>20%' 'failures>0'
check "the DeepSeek fleet" $truth/fleet.json -- 'failures>0' 'mape>20%'
check "serving, whole groups left out" --cross $truth/serving-*.json -- 'failures>0' 'tpot_p50_s+tpot_mean_s:median>8.5%'
check "served tokens" $truth/serving-*.json $truth/power*.json -- "$served:median>9.5%" "$served:p90>36%"
check "power" $truth/power.json -- 'failures>0' 'power_w_per_accelerator:median>6%' 'joules_per_output_token_chip:median>12%'
check "power, dense models" $(of_class dense) $truth/power.json -- 'power_w_per_accelerator:median>5%'
check "power, experts" $(of_class moe) $(of_class mla-moe) $truth/power.json -- 'power_w_per_accelerator:median>10%'
check "power, hybrid models on H100" --group power/h100-sxm/ $truth/power-hybrid.json -- 'power_w_per_accelerator:median>8.5%' \
  'output_tokens_per_s:median>10.5%'

if [ $readme = yes ]; then
  table=$(mktemp)
  trap 'rm -f "$table"' EXIT
  "$jevons" validate $truth/*.json --markdown >"$table"
  sed -i -e "/<!-- scoreboard -->/,/<!-- \/scoreboard -->/{/<!-- scoreboard -->/{p;r $table
};/<!-- \/scoreboard -->/p;d}" \
    -e "s/--markdown\`, on [0-9-]*\./--markdown\`, on $(date +%F)./" README.md
fi
exit $bad
