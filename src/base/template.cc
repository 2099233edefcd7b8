#include "base/template.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cctype>
#include <map>
#include <optional>

#include "base/fd.h"
#include "base/json.h"
#include "base/text.h"

namespace proa {
namespace {

namespace bj = boost::json;

constexpr int kDeepest = 32;

// --- words of an action

struct Token {
  enum class Kind : uint8_t {
    kWord,
    kField,
    kFieldOf,
    kVariable,
    kText,
    kNumber,
    kPipe,
    kOpen,
    kClose,
    kAssign,
    kComma,
    kEnd
  };
  Kind kind = Kind::kEnd;
  std::string text;
};

bool word_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

Result<std::string> quoted(std::string_view text, size_t& at) {
  const char quote = text[at++];
  std::string out;
  while (at < text.size() && text[at] != quote) {
    char c = text[at++];
    if (c == '\\' && quote == '"' && at < text.size()) {
      c = text[at++];
      c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
    }
    out += c;
  }
  if (at == text.size()) return fail("format: quote is not closed");
  ++at;
  return out;
}

Result<std::vector<Token>> tokens_of(std::string_view text) {
  using Kind = Token::Kind;
  std::vector<Token> out;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    const auto take = [&](auto allowed) {
      const size_t begin = at++;
      while (at < text.size() && allowed(text[at])) ++at;
      return std::string(text.substr(begin, at - begin));
    };
    if (c == ' ' || c == '\t' || c == '\n') {
      ++at;
    } else if (c == '"' || c == '`') {
      out.push_back({Kind::kText, TRY(quoted(text, at))});
    } else if (c == '.') {
      // (index .A 0).B: the field of what the parentheses give.
      const Kind kind = at > 0 && text[at - 1] == ')' ? Kind::kFieldOf : Kind::kField;
      out.push_back({kind, take([](char each) { return word_char(each) || each == '.'; })});
    } else if (c == '$') {
      out.push_back({Kind::kVariable, take([](char each) { return word_char(each) || each == '.'; })});
    } else if (c == '|' || c == '(' || c == ')' || c == ',') {
      out.push_back({c == '|' ? Kind::kPipe : c == '(' ? Kind::kOpen : c == ')' ? Kind::kClose : Kind::kComma, ""});
      ++at;
    } else if (text.substr(at).starts_with(":=")) {
      out.push_back({Kind::kAssign, ""});
      at += 2;
    } else if (std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '-') {
      out.push_back(
          {Kind::kNumber, take([](char each) { return std::isdigit(static_cast<unsigned char>(each)) != 0; })});
    } else if (word_char(c)) {
      out.push_back({Kind::kWord, take(word_char)});
    } else {
      return fail("format: unexpected '", c, "' in {{", text, "}}");
    }
  }
  out.push_back({});
  return out;
}

// --- expressions

struct Expression {
  enum class Kind : uint8_t { kConstant, kField, kVariable, kFieldOf, kCall } kind = Kind::kConstant;
  bj::value constant;
  std::string name;  // of a variable or function
  std::vector<std::string> path;
  std::vector<Expression> arguments;
};

struct Node {
  enum class Kind : uint8_t { kText, kShow, kIf, kRange, kWith } kind = Kind::kText;
  std::string text;
  Expression expression;
  std::vector<std::string> variables;  // of range: index, element
  std::vector<Node> body, otherwise;
};

std::vector<std::string> path_of(std::string_view text) {
  std::vector<std::string> out;
  for (const std::string_view part : split(text, '.')) out.emplace_back(part);
  return out;
}

class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Result<Expression> whole() {
    Expression out = TRY(pipeline());
    if (next().kind != Token::Kind::kEnd) return fail("format: unexpected text after an expression");
    return out;
  }

 private:
  const Token& next() const { return tokens_[at_]; }

  Result<Expression> pipeline() {
    Expression out = TRY(call());
    while (next().kind == Token::Kind::kPipe) {
      ++at_;
      Expression outer = TRY(call());
      if (outer.kind != Expression::Kind::kCall) return fail("format: a pipe must lead to a function");
      outer.arguments.push_back(std::move(out));
      out = std::move(outer);
    }
    return out;
  }

  Result<Expression> call() {
    // A method of a row of `ps`: {{.Label "name"}}.
    if (next().kind == Token::Kind::kField && next().text == ".Label" && tokens_[at_ + 1].kind == Token::Kind::kText) {
      Expression out;
      out.kind = Expression::Kind::kCall;
      out.name = "label";
      out.arguments.push_back({.kind = Expression::Kind::kField, .path = {"Labels"}});
      out.arguments.push_back({.constant = bj::value(tokens_[at_ + 1].text)});
      at_ += 2;
      return out;
    }
    if (next().kind != Token::Kind::kWord || next().text == "true" || next().text == "false") return operand();
    Expression out;
    out.kind = Expression::Kind::kCall;
    out.name = tokens_[at_++].text;
    while (begins_operand()) out.arguments.push_back(TRY(operand()));
    return out;
  }

  bool begins_operand() const {
    using Kind = Token::Kind;
    const Kind kind = next().kind;
    return kind == Kind::kWord || kind == Kind::kField || kind == Kind::kVariable || kind == Kind::kText ||
           kind == Kind::kNumber || kind == Kind::kOpen;
  }

  Result<Expression> operand() {
    using Kind = Token::Kind;
    if (++depth_ > kDeepest) return fail("format: nested too deep");
    Defer leave([&] { --depth_; });
    const Token token = tokens_[at_];
    if (token.kind != Kind::kEnd) ++at_;
    Expression out;
    switch (token.kind) {
      case Kind::kField:
        out.kind = Expression::Kind::kField;
        out.path = path_of(token.text);
        return out;
      case Kind::kVariable: {
        out.kind = Expression::Kind::kVariable;
        out.path = path_of(token.text);
        out.name = out.path.empty() ? "$" : out.path.front();
        if (!out.path.empty()) out.path.erase(out.path.begin());
        return out;
      }
      case Kind::kText: out.constant = bj::value(token.text); return out;
      case Kind::kNumber: out.constant = parse_number<int64_t>(token.text).value_or(0); return out;
      case Kind::kWord:
        if (token.text == "true" || token.text == "false") {
          out.constant = token.text == "true";
          return out;
        }
        out.kind = Expression::Kind::kCall;
        out.name = token.text;
        return out;
      case Kind::kOpen: {
        out = TRY(pipeline());
        if (next().kind != Kind::kClose) return fail("format: ) is missing");
        ++at_;
        if (next().kind != Kind::kFieldOf) return out;
        Expression field;
        field.kind = Expression::Kind::kFieldOf;
        field.path = path_of(tokens_[at_++].text);
        field.arguments.push_back(std::move(out));
        return field;
      }
      default: return fail("format: a value is missing");
    }
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

// --- the text's structure

class TemplateParser {
 public:
  explicit TemplateParser(std::string_view text) : rest_(text) {}

  Result<std::vector<Node>> whole() {
    std::vector<Node> out;
    const std::string end = TRY(block(out, 0));
    if (!end.empty()) return fail("format: {{", end, "}} has no beginning");
    return out;
  }

 private:
  // Up to {{end}} or {{else}}, which is returned; "" at the text's end.
  Result<std::string> block(std::vector<Node>& out, int depth) {
    if (depth > kDeepest) return fail("format: nested too deep");
    while (!rest_.empty()) {
      const size_t open = rest_.find("{{");
      std::string text(rest_.substr(0, open));
      const size_t close = open == std::string_view::npos ? open : rest_.find("}}", open);
      if (open != std::string_view::npos && close == std::string_view::npos) return fail("format: {{ is not closed");
      std::string_view action = open == std::string_view::npos ? "" : rest_.substr(open + 2, close - open - 2);
      rest_.remove_prefix(close == std::string_view::npos ? rest_.size() : close + 2);
      if (trim_next_) text.erase(0, std::min(text.find_first_not_of(" \t\n\r"), text.size()));
      trim_next_ = false;
      if (action.starts_with("- ")) {
        action.remove_prefix(1);
        text.erase(text.find_last_not_of(" \t\n\r") + 1);
      }
      if (action.ends_with(" -")) {
        action.remove_suffix(1);
        trim_next_ = true;
      }
      if (!text.empty()) out.push_back({.kind = Node::Kind::kText, .text = std::move(text)});
      if (open == std::string_view::npos) break;
      std::string word = first_word(action);
      if (word == "end" || word == "else") {
        pending_ = std::string(action);
        return word;
      }
      TRY(add(out, action, word, depth));
    }
    return std::string();
  }

  static std::string first_word(std::string_view action) {
    const size_t begin = std::min(action.find_first_not_of(" \t\n"), action.size());
    const size_t end = std::min(action.find_first_of(" \t\n", begin), action.size());
    return std::string(action.substr(begin, end - begin));
  }

  Result<> add(std::vector<Node>& out, std::string_view action, const std::string& word, int depth) {
    if (action.find_first_not_of(" \t\n") == std::string_view::npos) return fail("format: {{}} is empty");
    if (word.starts_with("/*")) return {};
    Node node;
    if (word != "if" && word != "range" && word != "with") {
      node.kind = Node::Kind::kShow;
      ExpressionParser parser(TRY(tokens_of(action)));
      node.expression = TRY(parser.whole());
      out.push_back(std::move(node));
      return {};
    }
    node.kind = word == "if" ? Node::Kind::kIf : word == "range" ? Node::Kind::kRange : Node::Kind::kWith;
    action.remove_prefix(action.find(word) + word.size());
    TRY(condition(node, action));
    TRY(bodies(node, depth));
    out.push_back(std::move(node));
    return {};
  }

  static Result<> condition(Node& node, std::string_view action) {
    auto tokens = TRY(tokens_of(action));
    const auto assign = std::ranges::find(tokens, Token::Kind::kAssign, &Token::kind);
    if (assign != tokens.end()) {
      for (auto token = tokens.begin(); token != assign; ++token)
        if (token->kind == Token::Kind::kVariable) node.variables.push_back(token->text.substr(1));
      tokens.erase(tokens.begin(), assign + 1);
    }
    node.expression = TRY(ExpressionParser(std::move(tokens)).whole());
    return {};
  }

  Result<> bodies(Node& node, int depth) {
    std::string end = TRY(block(node.body, depth + 1));
    if (end == "else") {
      std::string_view rest = pending_;
      rest.remove_prefix(rest.find("else") + 4);
      if (first_word(rest) == "if") {
        Node inner;
        inner.kind = Node::Kind::kIf;
        rest.remove_prefix(rest.find("if") + 2);
        const std::string text(rest);
        TRY(condition(inner, text));
        TRY(bodies(inner, depth + 1));
        node.otherwise.push_back(std::move(inner));
        return {};
      }
      end = TRY(block(node.otherwise, depth + 1));
    }
    if (end != "end") return fail("format: {{end}} is missing");
    return {};
  }

  std::string_view rest_;
  std::string pending_;  // the end or else just read
  bool trim_next_ = false;
};

// --- values

bool truth(const bj::value& value) {
  switch (value.kind()) {
    case bj::kind::null: return false;
    case bj::kind::bool_: return value.get_bool();
    case bj::kind::string: return !value.get_string().empty();
    case bj::kind::array: return !value.get_array().empty();
    case bj::kind::object: return !value.get_object().empty();
    case bj::kind::int64: return value.get_int64() != 0;
    case bj::kind::uint64: return value.get_uint64() != 0;
    case bj::kind::double_: return value.get_double() != 0;
  }
  return false;
}

// As Go prints: [a b], map[k:v].
std::string shown(const bj::value& value) {
  switch (value.kind()) {
    case bj::kind::null: return "<nil>";
    case bj::kind::string: return std::string(value.get_string());
    case bj::kind::array: {
      std::string out = "[";
      for (const bj::value& each : value.get_array()) out += (out.size() > 1 ? " " : "") + shown(each);
      return out + "]";
    }
    case bj::kind::object: {
      std::map<std::string, std::string> sorted;
      for (const auto& member : value.get_object()) sorted.emplace(member.key(), shown(member.value()));
      std::string out = "map[";
      for (const auto& [key, text] : sorted) out += cat(out.size() > 4 ? " " : "", key, ":", text);
      return out + "]";
    }
    default: return json::to_line(value);
  }
}

class Renderer {
 public:
  explicit Renderer(const bj::value& root) : root_(root) {}

  Result<> nodes(const std::vector<Node>& nodes, const bj::value& dot) {
    for (const Node& node : nodes) TRY(one(node, dot));
    return {};
  }
  std::string take() { return std::move(out_); }

 private:
  Result<> one(const Node& node, const bj::value& dot) {
    if (node.kind == Node::Kind::kText) {
      out_ += node.text;
      return {};
    }
    const bj::value value = TRY(evaluate(node.expression, dot));
    switch (node.kind) {
      case Node::Kind::kShow: out_ += shown(value); return {};
      case Node::Kind::kIf: return nodes(truth(value) ? node.body : node.otherwise, dot);
      case Node::Kind::kWith: return truth(value) ? nodes(node.body, value) : nodes(node.otherwise, dot);
      default: return range(node, value, dot);
    }
  }

  Result<> range(const Node& node, const bj::value& value, const bj::value& dot) {
    if (!truth(value)) return nodes(node.otherwise, dot);
    const auto turn = [&](const bj::value& key, const bj::value& element) {
      if (node.variables.size() == 2) variables_[node.variables[0]] = key;
      if (!node.variables.empty()) variables_[node.variables.back()] = element;
      return nodes(node.body, element);
    };
    if (value.is_array()) {
      int64_t index = 0;
      for (const bj::value& each : value.get_array()) TRY(turn(index++, each));
      return {};
    }
    if (!value.is_object()) return fail("format: range over what is no list");
    for (const auto& member : value.get_object()) TRY(turn(bj::value(member.key()), member.value()));
    return {};
  }

  static Result<bj::value> walk(const bj::value& from, const std::vector<std::string>& path) {
    const bj::value* at = &from;
    for (const std::string& name : path) {
      if (at->is_null()) return bj::value();
      if (!at->is_object()) return fail("format: .", name, ": its parent has no fields");
      const bj::value* member = at->get_object().if_contains(name);
      if (member == nullptr) return fail("format: there is no field .", name);
      at = member;
    }
    return *at;
  }

  Result<bj::value> evaluate(const Expression& expression, const bj::value& dot) {
    switch (expression.kind) {
      case Expression::Kind::kConstant: return expression.constant;
      case Expression::Kind::kField: return walk(dot, expression.path);
      case Expression::Kind::kVariable: {
        if (expression.name == "$") return walk(root_, expression.path);
        const auto known = variables_.find(expression.name.substr(1));
        if (known == variables_.end()) return fail("format: there is no variable ", expression.name);
        return walk(known->second, expression.path);
      }
      case Expression::Kind::kFieldOf: {
        const bj::value whole = TRY(evaluate(expression.arguments.front(), dot));
        return walk(whole, expression.path);
      }
      case Expression::Kind::kCall: break;
    }
    std::vector<bj::value> arguments;
    arguments.reserve(expression.arguments.size());
    for (const Expression& each : expression.arguments) arguments.push_back(TRY(evaluate(each, dot)));
    return TRY_CTX(call(expression.name, arguments), "format: ", expression.name);
  }

  using Arguments = std::vector<bj::value>;

  static Result<bj::value> call(const std::string& name, const Arguments& in) {
    if (in.empty()) return fail("no such function, or no value for it");
    if (name == "json") return bj::value(json::to_line(in[0]));
    if (name == "upper" || name == "lower" || name == "title") return cased(name, shown(in[0]));
    if (name == "len") return length(in[0]);
    if (name == "not") return bj::value(!truth(in[0]));
    if (name == "and" || name == "or") {
      for (const bj::value& each : in)
        if (truth(each) == (name == "or")) return each;
      return in.back();
    }
    if (name == "print" || name == "println") {
      std::string out;
      for (const bj::value& each : in) out += (out.empty() || name == "print" ? "" : " ") + shown(each);
      return bj::value(name == "println" ? out + "\n" : out);
    }
    if (name == "printf") return formatted(in);
    if (name == "index") return indexed(in);
    if (in.size() < 2) return fail("no such function, or too few values for it");
    if (name == "join") return joined(in);
    if (name == "label") return label(shown(in[0]), shown(in[1]));
    if (name == "split") return parted(shown(in[0]), shown(in[1]));
    if (name == "truncate") return bj::value(shown(in[0]).substr(0, static_cast<size_t>(number(in[1]))));
    if (name == "pad") {
      const auto blanks = [&](size_t i) {
        return std::string(i < in.size() ? static_cast<size_t>(number(in[i])) : 0, ' ');
      };
      return bj::value(blanks(1) + shown(in[0]) + blanks(2));
    }
    if (const auto compared = compare(name, in)) return bj::value(*compared);
    return fail("no such function");
  }

  // Of "a=1,b=2".
  static bj::value label(std::string_view labels, std::string_view name) {
    while (!labels.empty()) {
      std::string_view value = cut(labels, ',');
      if (cut(value, '=') == name) return bj::value(std::string(value));
    }
    return bj::value("");
  }

  static std::optional<bool> compare(const std::string& name, const Arguments& in) {
    if (name == "eq")
      return std::any_of(in.begin() + 1, in.end(), [&](const bj::value& each) { return each == in[0]; });
    if (name == "ne") return in[0] != in[1];
    const bool numbers = in[0].is_number() && in[1].is_number();
    const int order = numbers ? (number(in[0]) < number(in[1]) ? -1 : number(in[0]) > number(in[1]))
                              : shown(in[0]).compare(shown(in[1]));
    if (name == "lt") return order < 0;
    if (name == "le") return order <= 0;
    if (name == "gt") return order > 0;
    if (name == "ge") return order >= 0;
    return std::nullopt;
  }

  static int64_t number(const bj::value& value) {
    boost::system::error_code error;
    const auto out = value.to_number<int64_t>(error);
    return error ? 0 : std::clamp<int64_t>(out, 0, 1 << 20);
  }

  static Result<bj::value> cased(const std::string& how, std::string text) {
    const auto change = [&](size_t i) {
      const auto c = static_cast<unsigned char>(text[i]);
      text[i] = static_cast<char>(how == "lower" ? std::tolower(c) : std::toupper(c));
    };
    for (size_t i = 0; i < text.size(); ++i)
      if (how != "title" || i == 0 || text[i - 1] == ' ') change(i);
    return bj::value(text);
  }

  static Result<bj::value> length(const bj::value& value) {
    if (value.is_string()) return bj::value(value.get_string().size());
    if (value.is_array()) return bj::value(value.get_array().size());
    if (value.is_object()) return bj::value(value.get_object().size());
    if (value.is_null()) return bj::value(0);
    return fail("value has no length");
  }

  static Result<bj::value> indexed(const Arguments& in) {
    bj::value at = in[0];
    for (size_t i = 1; i < in.size(); ++i) {
      if (at.is_object()) {
        const bj::value* member = at.get_object().if_contains(shown(in[i]));
        const bj::value next = member == nullptr ? bj::value("") : *member;
        at = next;
      } else if (at.is_array()) {
        const auto index = static_cast<size_t>(number(in[i]));
        if (index >= at.get_array().size()) return fail("index ", index, " is out of range");
        const bj::value next = at.get_array()[index];
        at = next;
      } else {
        return fail("value has no elements");
      }
    }
    return at;
  }

  static Result<bj::value> joined(const Arguments& in) {
    if (in[0].is_null()) return bj::value("");
    if (!in[0].is_array()) return fail("value is no list");
    std::string out;
    for (const bj::value& each : in[0].get_array())
      out += (&each == &in[0].get_array()[0] ? "" : shown(in[1])) + shown(each);
    return bj::value(out);
  }

  static Result<bj::value> parted(const std::string& text, const std::string& by) {
    bj::array out;
    if (by.empty()) return bj::value(bj::array{bj::value(text)});
    for (size_t at = 0;;) {
      const size_t end = text.find(by, at);
      out.emplace_back(text.substr(at, end - at));
      if (end == std::string::npos) return bj::value(std::move(out));
      at = end + by.size();
    }
  }

  static Result<bj::value> formatted(const Arguments& in) {
    const std::string form = shown(in[0]);
    std::string out;
    size_t next = 1;
    for (size_t i = 0; i < form.size(); ++i) {
      if (form[i] != '%') {
        out += form[i];
        continue;
      }
      const size_t verb = form.find_first_not_of("-0123456789.", i + 1);
      if (verb == std::string::npos) return fail("'%' ends the text");
      const std::string width = form.substr(i + 1, verb - i - 1);
      i = verb;
      if (form[verb] == '%') {
        out += '%';
        continue;
      }
      if (next >= in.size()) return fail("too few values");
      std::string text = form[verb] == 'q' ? json::quote(shown(in[next])) : shown(in[next]);
      ++next;
      const bool left = width.starts_with('-');
      const auto columns = std::min<size_t>(parse_number<size_t>(width.substr(left ? 1 : 0)).value_or(0), 4096);
      if (text.size() < columns) text.insert(left ? text.size() : 0, columns - text.size(), ' ');
      out += text;
    }
    return bj::value(out);
  }

  const bj::value& root_;
  std::map<std::string, bj::value> variables_;
  std::string out_;
};

void collect_fields(const Expression& expression, std::vector<std::string>& out) {
  if (expression.kind == Expression::Kind::kField && !expression.path.empty()) out.push_back(expression.path.back());
  for (const Expression& each : expression.arguments) collect_fields(each, out);
}

}  // namespace

struct Template::Body {
  std::vector<Node> nodes;
};

Template::Template(std::unique_ptr<Body> body) : body_(std::move(body)) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

Result<Template> Template::parse(std::string_view text) {
  auto body = std::make_unique<Body>();
  body->nodes = TRY(TemplateParser(text).whole());
  return Template(std::move(body));
}

Result<std::string> Template::render(const bj::value& document) const {
  Renderer renderer(document);
  TRY(renderer.nodes(body_->nodes, document));
  return renderer.take();
}

std::vector<std::string> Template::fields() const {
  std::vector<std::string> out;
  for (const Node& node : body_->nodes)
    if (node.kind == Node::Kind::kShow) collect_fields(node.expression, out);
  return out;
}

}  // namespace proa
