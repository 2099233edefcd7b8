// --format of commands that list: rows by a template (base/template.h), as JSON or as a table.
#pragma once

#include <boost/json/fwd.hpp>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/template.h"
#include "cli/print.h"

namespace proa::cli {

// Rows in the form that --format and -o ask for: a template for each row ("table TEMPLATE" with a header), "json" for
// a line of JSON each, or else `table`. `output` is table, json or yaml and holds when `format` is empty.
Result<> print_rows(std::string_view format, std::string_view output, const std::vector<boost::json::value>& rows,
                    const Table& table);

}  // namespace proa::cli
