#include "kube/selector/label_selector.h"

#include <algorithm>

#include "base/text.h"
#include "kube/validation/names.h"

namespace proa::kube {
namespace {

using Operator = Requirement::Operator;

enum class Token : uint8_t { kEnd, kWord, kComma, kOpen, kClose, kBang, kEquals, kNotEquals, kGreater, kLess, kBad };

// Words and signs of a selector's text.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : rest_(text) { next(); }
  Token token() const { return token_; }
  std::string_view word() const { return word_; }

  void next() {
    const size_t start = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(start == std::string_view::npos ? rest_.size() : start);
    if (rest_.empty()) return take(Token::kEnd, 0);
    switch (rest_[0]) {
      case ',': return take(Token::kComma, 1);
      case '(': return take(Token::kOpen, 1);
      case ')': return take(Token::kClose, 1);
      case '>': return take(Token::kGreater, 1);
      case '<': return take(Token::kLess, 1);
      case '=': return take(Token::kEquals, rest_.starts_with("==") ? 2 : 1);
      case '!': return rest_.starts_with("!=") ? take(Token::kNotEquals, 2) : take(Token::kBang, 1);
      default: return take(Token::kWord, std::min(rest_.find_first_of(" \t\r\n,()<>=!"), rest_.size()));
    }
  }

 private:
  void take(Token token, size_t size) {
    token_ = token;
    word_ = rest_.substr(0, size);
    rest_.remove_prefix(size);
  }

  std::string_view rest_, word_;
  Token token_ = Token::kEnd;
};

Failure found(const Lexer& lexer, std::string_view expected) {
  return fail("unable to parse requirement: found '", lexer.word(), "', expected: ", expected);
}

// NewRequirement's checks.
Result<> check(const Requirement& requirement) {
  const auto invalid = [](std::string_view path, std::string_view value, std::string_view why) {
    return fail("unable to parse requirement: ", path, ": Invalid value: ", quoted(value), ": ", why);
  };
  if (const auto faults = qualified_name_faults(requirement.key); !faults.empty())
    return invalid("key", requirement.key, faults[0]);
  if (requirement.op == Operator::kGreater || requirement.op == Operator::kLess) {
    if (requirement.values.size() != 1 || !parse_number<int64_t>(requirement.values[0]))
      return invalid("values[0]", requirement.values.empty() ? "" : requirement.values[0],
                     "for 'Gt', 'Lt' operators, the value must be an integer");
  }
  for (size_t i = 0; i < requirement.values.size(); ++i)
    if (const auto faults = label_value_faults(requirement.values[i]); !faults.empty())
      return invalid(cat("values[", i, "][", requirement.key, "]"), requirement.values[i], faults[0]);
  return {};
}

// "(a,b)"; an empty place is the empty value.
Result<std::vector<std::string>> values(Lexer& lexer) {
  if (lexer.token() != Token::kOpen)
    return fail("unable to parse requirement: found '", lexer.word(), "' expected: '('");
  std::vector<std::string> out;
  bool expects_value = true;
  for (lexer.next();; lexer.next()) {
    if (lexer.token() == Token::kWord && expects_value) {
      out.emplace_back(lexer.word());
      expects_value = false;
    } else if (lexer.token() == Token::kComma) {
      if (expects_value) out.emplace_back();
      expects_value = true;
    } else if (lexer.token() == Token::kClose) {
      if (expects_value) out.emplace_back();
      lexer.next();
      std::ranges::sort(out);
      out.erase(std::ranges::unique(out).begin(), out.end());
      return out;
    } else {
      return found(lexer, "',', ')' or identifier");
    }
  }
}

Result<Requirement> requirement(Lexer& lexer) {
  Requirement out;
  const bool negated = lexer.token() == Token::kBang;
  if (negated) lexer.next();
  if (lexer.token() != Token::kWord) return found(lexer, negated ? "identifier" : "!, identifier, or 'end of string'");
  out.key = lexer.word();
  lexer.next();
  if (negated || lexer.token() == Token::kComma || lexer.token() == Token::kEnd) {
    out.op = negated ? Operator::kNotExists : Operator::kExists;
    if (lexer.token() != Token::kComma && lexer.token() != Token::kEnd) return found(lexer, "',' or 'end of string'");
    return out;
  }
  const bool in = lexer.token() == Token::kWord && lexer.word() == "in";
  const bool not_in = lexer.token() == Token::kWord && lexer.word() == "notin";
  if (in || not_in) {
    lexer.next();
    out.op = in ? Operator::kIn : Operator::kNotIn;
    out.values = TRY(values(lexer));
    return out;
  }
  switch (lexer.token()) {
    case Token::kEquals: out.op = Operator::kIn; break;
    case Token::kNotEquals: out.op = Operator::kNotIn; break;
    case Token::kGreater: out.op = Operator::kGreater; break;
    case Token::kLess: out.op = Operator::kLess; break;
    default: return found(lexer, "in, notin, =, ==, !=, gt, lt");
  }
  lexer.next();
  if (lexer.token() == Token::kWord) {
    out.values.emplace_back(lexer.word());
    lexer.next();
  } else if (lexer.token() == Token::kComma || lexer.token() == Token::kEnd) {
    out.values.emplace_back();
  } else {
    return found(lexer, "identifier");
  }
  return out;
}

}  // namespace

bool Requirement::matches(std::optional<std::string_view> value) const {
  switch (op) {
    case Operator::kExists: return value.has_value();
    case Operator::kNotExists: return !value.has_value();
    case Operator::kIn: return value && std::ranges::find(values, *value) != values.end();
    case Operator::kNotIn: return !value || std::ranges::find(values, *value) == values.end();
    case Operator::kGreater:
    case Operator::kLess: {
      const auto number = value ? parse_number<int64_t>(*value) : std::nullopt;
      const auto bound = values.empty() ? std::nullopt : parse_number<int64_t>(values[0]);
      return number && bound && (op == Operator::kGreater ? *number > *bound : *number < *bound);
    }
  }
  return false;
}

Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  LabelSelector out;
  Lexer lexer(text);
  while (lexer.token() != Token::kEnd) {
    out.requirements_.push_back(TRY(requirement(lexer)));
    TRY(check(out.requirements_.back()));
    if (lexer.token() == Token::kEnd) break;
    if (lexer.token() != Token::kComma) return found(lexer, "',' or 'end of string'");
    lexer.next();
    if (lexer.token() == Token::kEnd) return found(lexer, "identifier after ','");
  }
  std::ranges::sort(out.requirements_, {}, &Requirement::key);
  return out;
}

Result<LabelSelector> LabelSelector::of(const Value& selector) {
  LabelSelector out;
  out.nothing_ = selector.is_null();
  for (const Member& member : selector.get("matchLabels").members())
    out.requirements_.push_back({std::string(member.key), Operator::kIn, {std::string(member.value.as_string())}});
  for (const Value& expression : selector.get("matchExpressions").items()) {
    Requirement added{std::string(expression.string("key")), Operator::kExists, {}};
    const std::string_view op = expression.string("operator");
    if (op == "In")
      added.op = Operator::kIn;
    else if (op == "NotIn")
      added.op = Operator::kNotIn;
    else if (op == "Exists")
      added.op = Operator::kExists;
    else if (op == "DoesNotExist")
      added.op = Operator::kNotExists;
    else
      return fail(quoted(op), " is not a valid label selector operator");
    for (const Value& value : expression.get("values").items()) added.values.emplace_back(value.as_string());
    std::ranges::sort(added.values);
    out.requirements_.push_back(std::move(added));
  }
  return out;
}

LabelSelector LabelSelector::of_map(const Value& labels) {
  LabelSelector out;
  out.nothing_ = labels.size() == 0;
  for (const Member& member : labels.members())
    out.requirements_.push_back({std::string(member.key), Operator::kIn, {std::string(member.value.as_string())}});
  return out;
}

std::string LabelSelector::text() const {
  std::string out;
  for (const Requirement& requirement : requirements_) {
    if (!out.empty()) out += ',';
    std::string list;
    for (size_t i = 0; i < requirement.values.size(); ++i) list += cat(i == 0 ? "" : ",", requirement.values[i]);
    const bool one = requirement.values.size() == 1;
    switch (requirement.op) {
      case Operator::kExists: out += requirement.key; break;
      case Operator::kNotExists: out += cat("!", requirement.key); break;
      case Operator::kIn:
        out += one ? cat(requirement.key, "=", list) : cat(requirement.key, " in (", list, ")");
        break;
      case Operator::kNotIn:
        out += one ? cat(requirement.key, "!=", list) : cat(requirement.key, " notin (", list, ")");
        break;
      case Operator::kGreater: out += cat(requirement.key, ">", list); break;
      case Operator::kLess: out += cat(requirement.key, "<", list); break;
    }
  }
  return out;
}

}  // namespace proa::kube
