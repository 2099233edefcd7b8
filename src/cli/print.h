// Results to stdout, in the form the user asked for with -o.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::cli {

// All of it, to stdout; an error when nobody can read it (EPIPE) or the disk is full.
Result<> print_text(std::string_view text);

// An error and its hint, as users see them, to stderr. `of`: what it is about, where the message does not say.
void print_error(const Error& error, std::string_view of = {});

// Columns as wide as their widest cell, three spaces apart.
struct Table {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};
std::string render_table(const Table& table);

// `format` is table, json or yaml: the table, or the document it was made from.
Result<> print_document(std::string_view format, const boost::json::value& document, const Table& table);

}  // namespace proa::cli
