#include "cli/template.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cctype>

#include "base/json.h"
#include "base/text.h"

namespace proa::cli {
namespace {

namespace bj = boost::json;

// "CreatedSince" is headed CREATED SINCE.
std::string heading(std::string_view field) {
  std::string out;
  for (size_t i = 0; i < field.size(); ++i) {
    const bool starts = i > 0 && std::isupper(static_cast<unsigned char>(field[i])) != 0 &&
                        std::islower(static_cast<unsigned char>(field[i - 1])) != 0;
    if (starts) out += ' ';
    out += static_cast<char>(std::toupper(static_cast<unsigned char>(field[i])));
  }
  return out;
}

std::vector<std::string> cells_of(std::string_view line) {
  std::vector<std::string> out;
  for (;;) {
    const bool more = line.find('\t') != std::string_view::npos;
    out.emplace_back(cut(line, '\t'));
    if (!more) return out;
  }
}

// \t and \n, which shells leave as they stand.
std::string unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == 't' || text[i + 1] == 'n');
    out += escape ? (text[++i] == 't' ? '\t' : '\n') : text[i];
  }
  return out;
}

}  // namespace

Result<> print_rows(std::string_view format, std::string_view output, const std::vector<bj::value>& rows,
                    const Table& table) {
  if (format == "json") {
    std::string out;
    for (const bj::value& row : rows) out += json::to_line(row) + "\n";
    return print_text(out);
  }
  if (format.empty() || format == "table") return print_document(output, bj::array(rows.begin(), rows.end()), table);
  const bool tabular = format.starts_with("table ");
  const Template each = TRY(Template::parse(unescaped(tabular ? format.substr(6) : format)));
  Table cells;
  std::string out;
  for (const std::string& field : each.fields()) cells.header.push_back(heading(field));
  for (const bj::value& row : rows) {
    const std::string line = TRY(each.render(row));
    out += line + "\n";
    cells.rows.push_back(cells_of(line));
    cells.rows.back().resize(std::max(cells.rows.back().size(), cells.header.size()));
    cells.header.resize(cells.rows.back().size());
  }
  for (auto& row : cells.rows) row.resize(cells.header.size());
  return print_text(tabular ? render_table(cells) : out);
}

}  // namespace proa::cli
