#include "jevons/reports/result_json.hpp"
