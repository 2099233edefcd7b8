// The schema as a table: what every kind is made of, for decoding, defaulting, validation, patches, printing,
// discovery and OpenAPI. schema/*.schema are built into the program as one such table (`builtin()`); each CRD
// version is one more, made at run time by a TableBuilder and layered over the built-in one.
//
// A table is flat records that refer to each other by index, without pointers: the built-in one is read-only data
// that needs no relocation and no construction. Tables are immutable; reading is thread-safe. All views point
// into the table and live as long as it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace proa::kube {

// What a value is in JSON, and on the wire.
enum class Form : uint8_t {
  kAny,     // json: any JSON value (a message of one bytes field)
  kRaw,     // raw: an embedded object (runtime.RawExtension)
  kFields,  // fields: a field set (FieldsV1)
  kString,
  kInt32,
  kInt64,
  kDouble,
  kBool,
  kBytes,            // base64 in JSON
  kTime,             // RFC 3339 in seconds
  kMicroTime,        // ... in microseconds
  kDuration,         // "1h0m0s"
  kQuantity,         // "500m"
  kIntOrString,      // 80 or "http"
  kStrings,          // a list of strings that is a message on the wire
  kSchemaOrBool,     // of CRD schemas: JSONSchemaPropsOrBool
  kSchemaOrList,     // ... OrArray
  kSchemaOrStrings,  // ... OrStringArray
  kStruct,
  kList,
  kMap,
};

// Offset of a text in the table; 0 is the empty one.
using TextId = uint32_t;

struct FieldRecord {
  enum Flag : uint16_t {
    kPointer = 1,   // absent and zero differ
    kKeep = 2,      // printed also when it is zero
    kRequired = 4,  // of OpenAPI
    kInline = 8,    // its fields stand in the parent; a message of its own on the wire
    kFixed = 16,    // may not change after creation
  };
  TextId name;
  TextId description;
  uint16_t node;
  uint16_t number;  // on the wire; 0: not there
  uint16_t flags;
  uint16_t unused;
};

struct NodeRecord {
  enum Flag : uint8_t {
    kBase = 1,              // `target` is of the base table
    kAtomic = 2,            // one owner, replaced as a whole
    kSet = 4,               // a list of unique scalars
    kKeyed = 8,             // a list of objects known by Facets::keys
    kNullable = 16,         // null is a value
    kPreserve = 32,         // unknown fields are kept
    kEmbedded = 64,         // a whole object with apiVersion, kind and metadata
    kIntOrStringForm = 128  // x-kubernetes-int-or-string
  };
  Form form;
  uint8_t flags;
  uint16_t target;       // of a struct its type, of a list or map the node of its elements
  uint16_t facets;       // 0: none
  uint16_t enumeration;  // 0: none
};

// Limits of a value. Bounds that are not set are infinite.
struct FacetRecord {
  enum Patch : uint16_t { kNone, kMerge, kReplace, kRetainKeys, kMergeRetainKeys };
  TextId default_json;
  TextId keys;       // of a keyed list, comma separated
  TextId merge_key;  // of a strategic merge patch
  TextId format;
  TextId pattern;
  uint16_t patch;
  uint16_t flags;                   // 1: minimum exclusive, 2: maximum exclusive, 4: unique items
  uint32_t min_length, max_length;  // code points of a string, elements of a list, members of a map
  double minimum, maximum, multiple_of;
  uint16_t first_branch, branch_count;  // allOf, anyOf, oneOf, not
  uint32_t unused;
};

// One alternative of a schema: a node that the value has to match as well.
struct BranchRecord {
  enum Kind : uint16_t { kAllOf, kAnyOf, kOneOf, kNot };
  uint16_t kind;
  uint16_t node;
};

struct TypeRecord {
  enum Flag : uint16_t { kKind = 1, kAtomic = 2 };
  TextId name;
  TextId description;
  uint16_t first_field, field_count;
  uint16_t group_version;
  uint16_t node;
  uint16_t flags;
  uint16_t unused;
};

struct EnumRecord {
  TextId name;
  uint16_t first, count;  // of enum_values: JSON texts
};

struct GroupVersionRecord {
  TextId group;  // "" is the core group, "meta" holds shared types only
  TextId version;
  TextId package;  // protobuf's
  uint16_t first_resource, resource_count;
  uint16_t first_type, type_count;
};

struct ResourceRecord {
  enum Flag : uint16_t { kNamespaced = 1 };
  TextId plural, kind, singular, short_names, categories;  // the last two space separated
  TextId selectable;                                       // field selectors besides metadata, space separated
  TextId scale_spec, scale_status, scale_selector;         // JSON paths; empty without scale
  TextId list_kind;                                        // empty: the kind and "List"
  TextId deprecation;                                      // a warning for those who use it
  uint16_t type;
  uint16_t group_version;
  uint16_t verbs;
  uint16_t flags;
  uint16_t first_subresource, subresource_count;
  uint16_t first_column, column_count;
};

struct SubresourceRecord {
  TextId name;
  TextId group, version, kind;  // of the body; kind empty: the resource's own
  uint16_t verbs;
  uint16_t unused;
};

struct ColumnRecord {
  TextId name, type, format, description;
  TextId source;  // a JSON path that begins with a point, or a function's name (printer/columns.h)
  uint32_t priority;
};

enum Verb : uint16_t {
  kCreate = 1,
  kDelete = 2,
  kDeleteCollection = 4,
  kGet = 8,
  kList = 16,
  kPatch = 32,
  kUpdate = 64,
  kWatch = 128,
};
inline constexpr std::string_view kVerbNames[] = {"create", "delete", "deletecollection", "get",
                                                  "list",   "patch",  "update",           "watch"};

class Table;
class TypeView;
class FieldView;
class ResourceView;
class GroupVersionView;

// The schema of one value.
class NodeView {
 public:
  NodeView() = default;
  NodeView(const Table* table, const NodeRecord* record) : table_(table), record_(record) {}
  explicit operator bool() const { return record_ != nullptr; }
  Form form() const { return record_->form; }
  bool has(NodeRecord::Flag flag) const { return (record_->flags & flag) != 0; }
  bool is_list() const { return form() == Form::kList; }
  TypeView type() const;     // of a struct
  NodeView element() const;  // of a list or map
  const FacetRecord* facets() const;
  std::span<const TextId> enumeration() const;  // JSON texts of the values allowed; empty: any
  const Table& table() const { return *table_; }
  const NodeRecord& record() const { return *record_; }
  std::string_view text(TextId id) const;
  // Convenience for facets; empty or absent without.
  std::string_view keys() const;
  std::string_view merge_key() const;
  std::string_view default_json() const;
  FacetRecord::Patch patch() const;
  // A struct or list or map that has one owner as a whole.
  bool atomic() const;

 private:
  const Table* table_ = nullptr;
  const NodeRecord* record_ = nullptr;
};

class FieldView {
 public:
  FieldView() = default;
  FieldView(const Table* table, const FieldRecord* record) : table_(table), record_(record) {}
  explicit operator bool() const { return record_ != nullptr; }
  std::string_view name() const;
  std::string_view description() const;
  NodeView node() const;
  uint16_t number() const { return record_->number; }
  bool has(FieldRecord::Flag flag) const { return (record_->flags & flag) != 0; }
  const FieldRecord* record() const { return record_; }

 private:
  const Table* table_ = nullptr;
  const FieldRecord* record_ = nullptr;
};

// A struct: fields in the order they are printed.
class TypeView {
 public:
  TypeView() = default;
  TypeView(const Table* table, const TypeRecord* record) : table_(table), record_(record) {}
  explicit operator bool() const { return record_ != nullptr; }
  std::string_view name() const;
  std::string_view description() const;
  bool is_kind() const { return (record_->flags & TypeRecord::kKind) != 0; }  // has apiVersion and kind
  bool atomic() const { return (record_->flags & TypeRecord::kAtomic) != 0; }
  size_t size() const { return record_->field_count; }
  FieldView field(size_t index) const;
  // By its name in JSON, inline fields included; begins to look at `*hint` and leaves the next index there.
  FieldView find(std::string_view name, size_t* hint = nullptr) const;
  FieldView find_number(uint32_t number) const;
  GroupVersionView group_version() const;
  const Table& table() const { return *table_; }
  const TypeRecord* record() const { return record_; }
  NodeView node() const;  // a struct of this type
  bool operator==(const TypeView& other) const { return record_ == other.record_; }

 private:
  const Table* table_ = nullptr;
  const TypeRecord* record_ = nullptr;
};

class GroupVersionView {
 public:
  GroupVersionView() = default;
  GroupVersionView(const Table* table, const GroupVersionRecord* record) : table_(table), record_(record) {}
  explicit operator bool() const { return record_ != nullptr; }
  std::string_view group() const;
  std::string_view version() const;
  std::string_view package() const;
  size_t resource_count() const { return record_->resource_count; }
  ResourceView resource(size_t index) const;
  size_t type_count() const { return record_->type_count; }
  TypeView type(size_t index) const;
  TypeView find_type(std::string_view name) const;

 private:
  const Table* table_ = nullptr;
  const GroupVersionRecord* record_ = nullptr;
};

struct ColumnView {
  std::string_view name, type, format, description, source;
  int priority = 0;
};
struct SubresourceView {
  std::string_view name, group, version, kind;  // kind empty: the resource's own
  uint16_t verbs = 0;
};

class ResourceView {
 public:
  ResourceView() = default;
  ResourceView(const Table* table, const ResourceRecord* record) : table_(table), record_(record) {}
  explicit operator bool() const { return record_ != nullptr; }
  std::string_view plural() const;
  std::string_view kind() const;
  std::string_view singular() const;
  std::string_view short_names() const;
  std::string_view categories() const;
  std::string_view selectable() const;
  std::string_view scale_spec() const;
  std::string_view scale_status() const;
  std::string_view scale_selector() const;
  std::string_view list_kind() const;  // empty: the kind and "List"
  std::string_view deprecation() const;
  bool namespaced() const { return (record_->flags & ResourceRecord::kNamespaced) != 0; }
  uint16_t verbs() const { return record_->verbs; }
  TypeView type() const;
  NodeView node() const;  // a struct of that type
  GroupVersionView group_version() const;
  size_t subresource_count() const { return record_->subresource_count; }
  SubresourceView subresource(size_t index) const;
  std::optional<SubresourceView> find_subresource(std::string_view name) const;
  size_t column_count() const { return record_->column_count; }
  ColumnView column(size_t index) const;

 private:
  const Table* table_ = nullptr;
  const ResourceRecord* record_ = nullptr;
};

// Where the sections of a table are; the table's first bytes.
struct TableHeader {
  static constexpr uint32_t kMagic = 0x4b53484du;
  struct Section {
    uint32_t offset, count;
  };
  uint32_t magic;
  Section texts;  // count in bytes
  Section fields, nodes, facets, branches, types, enums, enum_values, group_versions, resources, subresources, columns;
};

class Table {
 public:
  // `bytes` as a TableBuilder makes them, eight bytes aligned; they and `base` outlive the table.
  explicit Table(std::string_view bytes, const Table* base = nullptr);

  const Table* base() const { return base_; }
  std::string_view text(TextId id) const {
    uint32_t size = 0;
    __builtin_memcpy(&size, texts_ + id, sizeof size);
    return {texts_ + id + sizeof size, size};
  }
  size_t group_version_count() const { return group_versions_.size(); }
  GroupVersionView group_version(size_t index) const { return {this, &group_versions_[index]}; }
  GroupVersionView find(std::string_view group, std::string_view version) const;
  ResourceView find_resource(std::string_view group, std::string_view version, std::string_view plural) const;
  ResourceView find_kind(std::string_view group, std::string_view version, std::string_view kind) const;
  // A kind or plain type of a group version; the meta types ("DeleteOptions") are in every group version.
  TypeView find_type(std::string_view group, std::string_view version, std::string_view name) const;
  NodeView node(uint16_t index) const { return {this, &nodes_[index]}; }
  size_t bytes() const { return bytes_.size(); }
  std::string_view contents() const { return bytes_; }

  // The sections, for those that walk them.
  std::span<const FieldRecord> fields() const { return fields_; }
  std::span<const NodeRecord> nodes() const { return nodes_; }
  std::span<const FacetRecord> facets() const { return facets_; }
  std::span<const BranchRecord> branches() const { return branches_; }
  std::span<const TypeRecord> types() const { return types_; }
  std::span<const EnumRecord> enums() const { return enums_; }
  std::span<const TextId> enum_values() const { return enum_values_; }
  std::span<const GroupVersionRecord> group_versions() const { return group_versions_; }
  std::span<const ResourceRecord> resources() const { return resources_; }
  std::span<const SubresourceRecord> subresources() const { return subresources_; }
  std::span<const ColumnRecord> columns() const { return columns_; }

 private:
  std::string_view bytes_;
  const Table* base_;
  const char* texts_ = nullptr;
  std::span<const FieldRecord> fields_;
  std::span<const NodeRecord> nodes_;
  std::span<const FacetRecord> facets_;
  std::span<const BranchRecord> branches_;
  std::span<const TypeRecord> types_;
  std::span<const EnumRecord> enums_;
  std::span<const TextId> enum_values_;
  std::span<const GroupVersionRecord> group_versions_;
  std::span<const ResourceRecord> resources_;
  std::span<const SubresourceRecord> subresources_;
  std::span<const ColumnRecord> columns_;
};

// The table of schema/*.schema.
const Table& builtin();

}  // namespace proa::kube
