#include "base/yaml.h"

#include <yaml.h>

#include <boost/json.hpp>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "base/utf8.h"
#include "base/yaml_scalar.h"

namespace proa::yaml {
namespace bj = boost::json;
namespace {

template <typename... Parts>
Failure fail_at(const yaml_mark_t& mark, const Parts&... parts) {
  return fail("not valid YAML at line ", mark.line + 1, ", column ", mark.column + 1, ": ", parts...);
}

class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { yaml_event_delete(&event_); }
  yaml_event_t* get() {
    yaml_event_delete(&event_);
    return &event_;
  }
  const yaml_event_t* operator->() const { return &event_; }

 private:
  yaml_event_t event_{};
};

std::string_view text_of(const yaml_char_t* text) {
  return text == nullptr ? std::string_view() : std::string_view(reinterpret_cast<const char*>(text));
}

// Builds JSON values from libyaml's events.
class Reader {
 public:
  Reader(std::string_view text, const ParseLimits& limits) : limits_(limits), arena_(make_arena(text.size())) {
    ready_ = yaml_parser_initialize(&parser_) != 0;
    if (ready_)
      yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() {
    if (ready_) yaml_parser_delete(&parser_);
  }

  Result<std::vector<bj::value>> documents();

 private:
  struct Node {
    bj::value value;
    size_t count = 1;  // nodes in it, for the limit on copies
  };

  static bj::storage_ptr make_arena(size_t text_size) {
    return bj::make_shared_resource<bj::monotonic_resource>(text_size * 2 + 1024);
  }
  Result<> next(Event& event);
  Result<bj::value> document();
  Result<Node> node(const Event& event, size_t depth);
  Result<Node> scalar(const Event& event);
  Result<Node> sequence(size_t depth);
  Result<Node> mapping(size_t depth);
  Result<std::string> key(const Event& event);
  Result<Node> alias(const Event& event);
  Result<> merge(bj::object& into, const bj::value& from, const yaml_mark_t& mark);
  Result<> count_copy(size_t nodes, const yaml_mark_t& mark);

  const ParseLimits& limits_;
  bj::storage_ptr arena_;
  yaml_parser_t parser_{};
  bool ready_ = false;
  bool blank_ = false;                                               // the last document read held nothing at all
  std::map<std::string, std::optional<Node>, std::less<>> anchors_;  // no value: still being read
  size_t copied_ = 0;
};

Result<> Reader::next(Event& event) {
  if (!ready_) return fail("YAML: out of memory");
  if (yaml_parser_parse(&parser_, event.get()) != 0) return {};
  const std::string_view problem = parser_.problem == nullptr ? "out of memory" : parser_.problem;
  if (parser_.error == YAML_READER_ERROR) return fail("not valid YAML at byte ", parser_.problem_offset, ": ", problem);
  if (parser_.context == nullptr) return fail_at(parser_.problem_mark, problem);
  return fail_at(parser_.problem_mark, problem, " ", parser_.context);
}

Result<std::vector<bj::value>> Reader::documents() {
  std::vector<bj::value> all;
  Event event;
  while (true) {
    TRY(next(event));
    if (event->type == YAML_STREAM_END_EVENT) return all;
    if (event->type != YAML_DOCUMENT_START_EVENT) continue;
    if (all.size() >= limits_.max_documents) return fail("YAML: more than ", limits_.max_documents, " documents");
    bj::value value = TRY(document());
    if (!blank_) all.push_back(std::move(value));
  }
}

Result<bj::value> Reader::document() {
  anchors_.clear();
  Event event;
  TRY(next(event));
  blank_ = event->type == YAML_SCALAR_EVENT && event->data.scalar.length == 0 && event->data.scalar.plain_implicit != 0;
  bj::value value = TRY(node(event, 1)).value;
  TRY(next(event));  // the document's end
  return value;
}

Result<Reader::Node> Reader::node(const Event& event, size_t depth) {
  if (event->type == YAML_ALIAS_EVENT) return alias(event);
  if (depth > limits_.max_depth) return fail_at(event->start_mark, "nested deeper than ", limits_.max_depth, " levels");
  const yaml_char_t* name = event->type == YAML_SCALAR_EVENT           ? event->data.scalar.anchor
                            : event->type == YAML_SEQUENCE_START_EVENT ? event->data.sequence_start.anchor
                                                                       : event->data.mapping_start.anchor;
  const std::string anchor(text_of(name));
  if (!anchor.empty()) anchors_[anchor] = std::nullopt;
  auto built = event->type == YAML_SCALAR_EVENT           ? scalar(event)
               : event->type == YAML_SEQUENCE_START_EVENT ? sequence(depth)
                                                          : mapping(depth);
  if (built && !anchor.empty()) anchors_[anchor] = Node{bj::value(built->value, arena_), built->count};
  return built;
}

Result<Scalar> resolve_event(const yaml_event_t& event) {
  const auto& scalar = event.data.scalar;
  auto value = resolve({reinterpret_cast<const char*>(scalar.value), scalar.length}, text_of(scalar.tag),
                       scalar.plain_implicit != 0);
  if (!value) return fail_at(event.start_mark, value.error().message());
  if (const auto* text = std::get_if<std::string>(&*value); text != nullptr && !utf8::valid(*text))
    return fail_at(event.start_mark, "!!binary value is not UTF-8 text");
  return value;
}

// A float that is a whole number becomes an integer: JSON has one kind of number.
bj::value number(double value, const bj::storage_ptr& arena) {
  if (value == std::floor(value)) {
    if (std::abs(value) < 0x1p63) return bj::value(static_cast<int64_t>(value), arena);
    if (value > 0 && value < 0x1p64) return bj::value(static_cast<uint64_t>(value), arena);
  }
  return bj::value(value, arena);
}

Result<Reader::Node> Reader::scalar(const Event& event) {
  Scalar value = TRY(resolve_event(*event.operator->()));
  if (const auto* real = std::get_if<double>(&value)) {
    if (!std::isfinite(*real)) return fail_at(event->start_mark, "JSON has no ", format_float(*real));
    return Node{number(*real, arena_)};
  }
  if (const auto* flag = std::get_if<bool>(&value)) return Node{bj::value(*flag, arena_)};
  if (const auto* whole = std::get_if<int64_t>(&value)) return Node{bj::value(*whole, arena_)};
  if (const auto* whole = std::get_if<uint64_t>(&value)) return Node{bj::value(*whole, arena_)};
  if (const auto* text = std::get_if<std::string>(&value)) return Node{bj::value(bj::string_view(*text), arena_)};
  return Node{bj::value(nullptr, arena_)};
}

Result<Reader::Node> Reader::sequence(size_t depth) {
  Node list{bj::array(arena_)};
  auto& items = list.value.get_array();
  Event event;
  while (true) {
    TRY(next(event));
    if (event->type == YAML_SEQUENCE_END_EVENT) return list;
    Node item = TRY(node(event, depth + 1));
    list.count += item.count;
    items.push_back(std::move(item.value));
  }
}

bool is_merge_key(const yaml_event_t& event) {
  if (event.type != YAML_SCALAR_EVENT) return false;
  const auto& scalar = event.data.scalar;
  return text_of(scalar.value) == "<<" &&
         (scalar.plain_implicit != 0 || text_of(scalar.tag) == "tag:yaml.org,2002:merge");
}

Result<Reader::Node> Reader::mapping(size_t depth) {
  Node map{bj::object(arena_)};
  auto& members = map.value.get_object();
  std::set<std::string> written;  // for unique_keys; a merged key may be set again
  Event event;
  while (true) {
    TRY(next(event));
    if (event->type == YAML_MAPPING_END_EVENT) return map;
    const yaml_mark_t mark = event->start_mark;
    const bool merging = is_merge_key(*event.operator->());
    const std::string name = merging ? std::string() : TRY(key(event));
    if (limits_.unique_keys && !merging && !written.insert(name).second)
      return fail_at(mark, "key '", name, "' is already set in this map");
    TRY(next(event));
    Node value = TRY(node(event, depth + 1));
    map.count += value.count;
    if (merging)
      TRY(merge(members, value.value, mark));
    else
      members.insert_or_assign(name, std::move(value.value));
  }
}

Result<std::string> Reader::key(const Event& event) {
  Node aliased;
  if (event->type == YAML_ALIAS_EVENT) {
    aliased = TRY(alias(event));
    if (const auto* text = aliased.value.if_string()) return std::string(*text);
    if (aliased.value.is_primitive() && !aliased.value.is_null()) return bj::serialize(aliased.value);
    return fail_at(event->start_mark, "only a string, number or boolean can be a key");
  }
  if (event->type != YAML_SCALAR_EVENT) return fail_at(event->start_mark, "a list or map cannot be a key");
  const yaml_char_t* anchor = event->data.scalar.anchor;
  if (anchor != nullptr) anchors_[std::string(text_of(anchor))] = TRY(scalar(event));
  Scalar value = TRY(resolve_event(*event.operator->()));
  if (auto* text = std::get_if<std::string>(&value)) return std::move(*text);
  if (const auto* flag = std::get_if<bool>(&value)) return std::string(*flag ? "true" : "false");
  if (const auto* whole = std::get_if<int64_t>(&value)) return std::to_string(*whole);
  if (const auto* whole = std::get_if<uint64_t>(&value)) return std::to_string(*whole);
  if (const auto* real = std::get_if<double>(&value)) return format_float32(*real);
  return fail_at(event->start_mark, "null cannot be a key").hint("quote it to have it as a string");
}

Result<Reader::Node> Reader::alias(const Event& event) {
  const std::string_view name = text_of(event->data.alias.anchor);
  const auto found = anchors_.find(name);
  if (found == anchors_.end()) return fail_at(event->start_mark, "unknown anchor '", name, "'");
  if (!found->second) return fail_at(event->start_mark, "anchor '", name, "' contains itself");
  TRY(count_copy(found->second->count, event->start_mark));
  return Node{bj::value(found->second->value, arena_), found->second->count};
}

// A few lines of aliases of aliases can stand for terabytes.
Result<> Reader::count_copy(size_t nodes, const yaml_mark_t& mark) {
  copied_ += nodes;
  if (copied_ > limits_.max_alias_nodes)
    return fail_at(mark, "aliases copy more than ", limits_.max_alias_nodes, " values");
  return {};
}

Result<> Reader::merge(bj::object& into, const bj::value& from, const yaml_mark_t& mark) {
  if (const auto* object = from.if_object()) {
    TRY(count_copy(object->size(), mark));
    for (const auto& member : *object) into.insert_or_assign(member.key(), member.value());
    return {};
  }
  const auto* list = from.if_array();
  const auto bad = [&] { return fail_at(mark, "'<<' takes a map or a list of maps"); };
  if (list == nullptr) return bad();
  for (size_t i = list->size(); i-- > 0;) {  // the earlier map wins
    if (!(*list)[i].is_object()) return bad();
    TRY(merge(into, (*list)[i], mark));
  }
  return {};
}

class Writer {
 public:
  explicit Writer(KeyOrder order) : order_(order) {
    if (yaml_emitter_initialize(&emitter_) == 0) throw std::bad_alloc();
    yaml_emitter_set_output(&emitter_, &Writer::append, &out_);
    yaml_emitter_set_unicode(&emitter_, 1);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() { yaml_emitter_delete(&emitter_); }

  std::string document(const bj::value& root) {
    yaml_event_t event;
    send(event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
    send(event, yaml_document_start_event_initialize(&event, nullptr, nullptr, nullptr, 1));
    value(root);
    send(event, yaml_document_end_event_initialize(&event, 1));
    send(event, yaml_stream_end_event_initialize(&event));
    // libyaml ends a document with "..." when any text in it kept its last newlines; block content is
    // indented, so such a line is never content.
    if (out_.ends_with("\n...\n")) out_.resize(out_.size() - 4);
    return std::move(out_);
  }

 private:
  static int append(void* out, unsigned char* bytes, size_t size) {
    static_cast<std::string*>(out)->append(reinterpret_cast<const char*>(bytes), size);
    return 1;
  }
  // Only memory can run out: every event is well formed and every text is UTF-8.
  void send(yaml_event_t& event, int made) {
    if (made == 0 || yaml_emitter_emit(&emitter_, &event) == 0) throw std::bad_alloc();
  }
  void scalar(std::string_view text, yaml_scalar_style_t style) {
    yaml_event_t event;
    send(event,
         yaml_scalar_event_initialize(&event, nullptr, nullptr, reinterpret_cast<const yaml_char_t*>(text.data()),
                                      static_cast<int>(text.size()), 1, 1, style));
  }
  void string(std::string_view text) {
    if (!utf8::valid(text)) return string(utf8::mended(text));
    const bool lines = text.find('\n') != std::string_view::npos;
    scalar(text, lines                   ? YAML_LITERAL_SCALAR_STYLE
                 : plain_is_string(text) ? YAML_PLAIN_SCALAR_STYLE
                                         : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
  }
  void value(const bj::value& item);
  void object(const bj::object& members);
  void array(const bj::array& items);

  KeyOrder order_;
  std::string out_;
  yaml_emitter_t emitter_{};
};

void Writer::value(const bj::value& item) {
  switch (item.kind()) {
    case bj::kind::object: return object(item.get_object());
    case bj::kind::array: return array(item.get_array());
    case bj::kind::string: return string(item.get_string());
    case bj::kind::double_: return scalar(format_float(item.get_double()), YAML_PLAIN_SCALAR_STYLE);
    default: return scalar(bj::serialize(item), YAML_PLAIN_SCALAR_STYLE);
  }
}

void Writer::object(const bj::object& members) {
  yaml_event_t event;
  const auto style = members.empty() ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE;
  send(event, yaml_mapping_start_event_initialize(&event, nullptr, nullptr, 1, style));
  std::vector<const bj::key_value_pair*> order;
  order.reserve(members.size());
  for (const auto& member : members) order.push_back(&member);
  if (order_ == KeyOrder::kSorted)
    std::ranges::sort(order, [](const auto* a, const auto* b) { return a->key() < b->key(); });
  for (const auto* member : order) {
    string(member->key());
    value(member->value());
  }
  send(event, yaml_mapping_end_event_initialize(&event));
}

void Writer::array(const bj::array& items) {
  yaml_event_t event;
  const auto style = items.empty() ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE;
  send(event, yaml_sequence_start_event_initialize(&event, nullptr, nullptr, 1, style));
  for (const auto& item : items) value(item);
  send(event, yaml_sequence_end_event_initialize(&event));
}

}  // namespace

Result<std::vector<bj::value>> parse_all(std::string_view text, const ParseLimits& limits) {
  if (text.size() > limits.max_bytes)
    return fail("YAML of ", text.size(), " bytes is over the limit of ", limits.max_bytes);
  try {
    return Reader(text, limits).documents();
  } catch (const std::exception& error) {
    return fail("YAML: ", error.what());
  }
}

Result<bj::value> parse(std::string_view text, const ParseLimits& limits) {
  std::vector<bj::value> documents = TRY(parse_all(text, limits));
  if (documents.empty()) return bj::value(nullptr);
  if (documents.size() > 1) return fail("YAML: ", documents.size(), " documents where one is expected");
  return std::move(documents.front());
}

std::string emit(const bj::value& value, KeyOrder order) { return Writer(order).document(value); }

}  // namespace proa::yaml
