#include "cli/print.h"

#include <unistd.h>

#include <algorithm>
#include <boost/json/value.hpp>

#include "base/json.h"
#include "base/text.h"
#include "base/utf8.h"
#include "base/yaml.h"

namespace proa::cli {
namespace {

size_t width(std::string_view text) {
  size_t columns = 0;
  for (; !text.empty(); text.remove_prefix(utf8::decode(text).length)) ++columns;
  return columns;
}

}  // namespace

void print_error(const Error& error, std::string_view of) {
  std::string text = cat("proa: error: ", of, of.empty() ? "" : ": ", error.message(), "\n");
  std::string_view hint = error.hint();
  if (hint.empty() && error.code() == ENOSPC)
    hint = "`proa system df` shows what takes room, `proa system prune` frees what is not used";
  if (!hint.empty()) text += cat("hint: ", hint, "\n");
  // Nothing is left to do about a stderr that cannot be written.
  [[maybe_unused]] const ssize_t wrote = ::write(STDERR_FILENO, text.data(), text.size());
}

Result<> print_text(std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(STDOUT_FILENO, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return fail_errno(errno, "write to stdout");
    text.remove_prefix(static_cast<size_t>(wrote));
  }
  return {};
}

std::string render_table(const Table& table) {
  std::vector<size_t> widths(table.header.size(), 0);
  const auto measure = [&](const std::vector<std::string>& row) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  };
  measure(table.header);
  for (const auto& row : table.rows) measure(row);
  std::string out;
  const auto line = [&](const std::vector<std::string>& row) {
    const size_t start = out.size();
    for (size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths[i] - width(row[i]) + 3, ' ');
    }
    out.resize(std::max(start, out.find_last_not_of(' ') + 1));
    out += '\n';
  };
  line(table.header);
  for (const auto& row : table.rows) line(row);
  return out;
}

Result<> print_document(std::string_view format, const boost::json::value& document, const Table& table) {
  if (format == "json") return print_text(json::to_pretty(document));
  if (format == "yaml") return print_text(yaml::emit(document));
  return print_text(render_table(table));
}

}  // namespace proa::cli
