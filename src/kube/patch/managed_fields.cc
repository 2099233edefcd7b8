#include "kube/patch/managed_fields.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "kube/codec/time.h"
#include "kube/patch/field_set.h"
#include "kube/validation/names.h"

namespace proa::kube {
namespace {

// More update managers than these are united, the oldest first.
constexpr size_t kMostUpdaters = 10;

struct Owner {
  std::string manager, api_version, subresource;
  bool applied = false;
  std::optional<int64_t> time;
  FieldSet fields;

  // Appliers are the same one whatever version they applied last.
  bool is(const Owner& other) const {
    return manager == other.manager && subresource == other.subresource && applied == other.applied &&
           (applied || api_version == other.api_version);
  }
};

using Owners = std::vector<Owner>;

Result<Owners> read_owners(const Value& object) {
  Owners out;
  for (const Value& entry : object.get({"metadata", "managedFields"}).items()) {
    Owner owner;
    const std::string_view operation = entry.string("operation");
    if (operation != "Apply" && operation != "Update") return fail("operation must be `Apply` or `Update`");
    if (entry.string("apiVersion").empty()) return fail("apiVersion must not be empty");
    if (entry.string("fieldsType") != "FieldsV1")
      return fail("invalid fieldsType ", quoted(entry.string("fieldsType")), " in managed fields entry ", out.size());
    owner.manager = entry.string("manager");
    owner.api_version = entry.string("apiVersion");
    owner.subresource = entry.string("subresource");
    owner.applied = operation == "Apply";
    if (const auto time = parse_time(entry.string("time"))) owner.time = time->seconds;
    owner.fields = TRY(FieldSet::parse(entry.get("fieldsV1")));
    out.push_back(std::move(owner));
  }
  return out;
}

void write_owners(Arena& arena, Owners owners, Value& object) {
  std::ranges::sort(owners, {}, [](const Owner& owner) {
    return std::tuple(!owner.applied, owner.time.value_or(0), std::string_view(owner.manager),
                      std::string_view(owner.api_version), std::string_view(owner.subresource));
  });
  Value list = Value::array(arena, owners.size());
  for (const Owner& owner : owners) {
    Value entry = Value::object(arena, 7);
    entry.add(arena, "manager", Value::text(arena, owner.manager));
    entry.add(arena, "operation", Value::view(owner.applied ? "Apply" : "Update"));
    entry.add(arena, "apiVersion", Value::text(arena, owner.api_version));
    if (owner.time) entry.add(arena, "time", Value::text(arena, format_time(*owner.time)));
    entry.add(arena, "fieldsType", Value::view("FieldsV1"));
    entry.add(arena, "fieldsV1", owner.fields.value(arena));
    if (!owner.subresource.empty()) entry.add(arena, "subresource", Value::text(arena, owner.subresource));
    list.push(arena, entry);
  }
  Value& metadata = object.child(arena, "metadata");
  metadata = Value::object_of(arena, metadata.members());  // its own, not one shared with the live object
  if (owners.empty())
    metadata.erase("managedFields");
  else
    metadata.set(arena, "managedFields", list);
}

// The object without its managedFields; shares everything else.
Value without_managed_fields(Arena& arena, const Value& object) {
  const Value* metadata = object.find("metadata");
  if (metadata == nullptr || metadata->find("managedFields") == nullptr) return object;
  Value out = Value::object_of(arena, object.members());
  Value inner = Value::object_of(arena, metadata->members());
  inner.erase("managedFields");
  out.set(arena, "metadata", inner);
  return out;
}

// What nobody owns: it is the server's.
const FieldSet& server_fields() {
  static const FieldSet set = [] {
    FieldSet out;
    out.insert("f:apiVersion");
    out.insert("f:kind");
    out.insert("f:metadata");
    for (const std::string_view field : {"f:name", "f:namespace", "f:creationTimestamp", "f:selfLink", "f:uid",
                                         "f:clusterName", "f:generation", "f:managedFields", "f:resourceVersion"})
      out.child("f:metadata").insert(field);
    return out;
  }();
  return set;
}

std::string printed(const Owner& owner) {
  std::string out = quoted(owner.manager);
  if (!owner.subresource.empty()) out += cat(" with subresource ", quoted(owner.subresource));
  if (owner.applied) return out;
  out += cat(" using ", owner.api_version);
  return out;
}

// Takes from all owners but `self` what changed; with `conflicts` what they lose to it is listed instead.
void give_up(Owners& owners, const Owner& self, const FieldDifference& difference,
             std::vector<FieldConflict>* conflicts) {
  const FieldSet taken = difference.modified.united(difference.added);
  for (Owner& owner : owners) {
    if (owner.is(self)) continue;
    const FieldSet lost = owner.fields.common(taken);
    if (conflicts != nullptr)
      for (std::string& path : lost.paths()) conflicts->push_back({printed(owner), std::move(path)});
    owner.fields = owner.fields.without(lost).without(difference.removed);
  }
}

Owner* find(Owners& owners, const Owner& wanted) {
  const auto at = std::ranges::find_if(owners, [&](const Owner& owner) { return owner.is(wanted); });
  return at == owners.end() ? nullptr : &*at;
}

// Unites the oldest updaters of a version in one, "ancient-changes".
void cap_updaters(Owners& owners) {
  std::ranges::sort(owners, {}, [](const Owner& owner) {
    return std::tuple(owner.applied, owner.time.value_or(0), std::string_view(owner.manager));
  });
  auto count = static_cast<size_t>(std::ranges::count(owners, false, &Owner::applied));
  std::map<std::string, size_t> first;  // of a version
  for (size_t i = 0; i < owners.size() && count > kMostUpdaters && !owners[i].applied;) {
    const auto [bucket, added] = first.try_emplace(owners[i].api_version, i);
    if (added) {
      ++i;
      continue;
    }
    Owner& into = owners[bucket->second];
    into.manager = "ancient-changes";
    into.subresource.clear();
    into.fields = into.fields.united(owners[i].fields);
    into.time = owners[i].time;
    owners.erase(owners.begin() + static_cast<ptrdiff_t>(i));
    --count;
  }
}

Owner self_of(const FieldWriter& writer, bool applied) {
  return {
      std::string(writer.manager), std::string(writer.api_version), std::string(writer.subresource), applied, {}, {}};
}

// Removes what `self` applied last time and now does not, unless someone else owns it.
Result<Value> prune(Arena& arena, NodeView node, const Value& merged, const Owners& owners, const FieldSet& last) {
  if (last.empty()) return merged;
  FieldSet owned;
  for (const Owner& owner : owners) owned = owned.united(owner.fields);
  const FieldSet wanted = with_named_fields(node, owned);
  const FieldSet before = with_named_fields(node, last);
  const FieldSet present = with_named_fields(node, TRY(fields_of(node, merged)));
  // Only what the last configuration had goes, and of that only what nobody owns now; items that hold what others
  // own stay, since those fields stand below them.
  const Value removed = remove_fields(arena, node, merged, before);
  const FieldSet left = with_named_fields(node, TRY(fields_of(node, removed)));
  const FieldSet gone = present.without(left.united(wanted)).common(before);
  return remove_fields(arena, node, merged, gone);
}

void drop_empty(Owners& owners) {
  std::erase_if(owners, [](const Owner& owner) { return owner.fields.empty(); });
}

bool same(const Owners& a, const Owners& b) {
  return a.size() == b.size() && std::ranges::all_of(a, [&](const Owner& owner) {
           return std::ranges::any_of(b, [&](const Owner& other) {
             return owner.is(other) && owner.fields == other.fields && owner.api_version == other.api_version;
           });
         });
}

}  // namespace

std::string conflict_message(const std::vector<FieldConflict>& conflicts) {
  if (conflicts.size() == 1)
    return cat("Apply failed with 1 conflict: conflict with ", conflicts[0].manager, ": ", conflicts[0].path);
  std::map<std::string, std::string> lines;
  for (const FieldConflict& conflict : conflicts) lines[conflict.manager] += cat("\n- ", conflict.path);
  std::string out = cat("Apply failed with ", conflicts.size(), " conflicts: ");
  bool first = true;
  for (const auto& [manager, list] : lines) {
    out += cat(first ? "" : "\n", "conflicts with ", manager, ":", list);
    first = false;
  }
  return out;
}

Result<ApplyResult> apply_fields(Arena& arena, TypeView type, const Value& live, const Value& config,
                                 const FieldWriter& writer, bool force) {
  const NodeView node = type.node();
  if (config.get({"metadata", "managedFields"}).size() > 0) return fail("metadata.managedFields must be nil");
  Owners owners = TRY_CTX(read_owners(live), "failed to decode managed fields");
  const Value bare = without_managed_fields(arena, live);
  ApplyResult result;
  // Objects made before anybody applied: what is there belongs to a manager of that time.
  if (owners.empty() && !live.string({"metadata", "uid"}).empty()) {
    Owner before{"before-first-apply", std::string(writer.api_version), "", false, writer.now, {}};
    before.fields = TRY(fields_of(node, bare)).without(server_fields());
    owners.push_back(std::move(before));
  }
  const Owners former = owners;
  Owner self = self_of(writer, true);
  Owner* known = find(owners, self);
  const FieldSet last = known == nullptr ? FieldSet() : known->fields;
  if (known == nullptr) known = &owners.emplace_back(self);
  const std::string_view space = config.string({"metadata", "namespace"});
  TRY_CTX(check_declared(node, config), "failed to create typed patch object (", space, space.empty() ? "" : "/",
          config.string({"metadata", "name"}), "; ", writer.api_version, ", Kind=", type.name(), ")");
  known->fields = TRY(fields_of(node, config));
  known->api_version = self.api_version;

  Value merged = TRY(merge_fields(arena, node, bare, config));
  merged = TRY(prune(arena, node, merged, owners, last));
  const FieldDifference difference = TRY(compare_fields(node, bare, merged));
  give_up(owners, self, difference, force ? nullptr : &result.conflicts);
  if (!result.conflicts.empty()) return result;
  known = find(owners, self);
  known->fields = known->fields.without(server_fields());
  drop_empty(owners);
  result.changed = !difference.same() || !same(owners, former);
  if (Owner* mine = find(owners, self); mine != nullptr && result.changed) mine->time = writer.now;
  result.object = merged;
  write_owners(arena, std::move(owners), result.object);
  return result;
}

Result<> update_managed_fields(Arena& arena, TypeView type, const Value& live, Value& object,
                               const FieldWriter& writer) {
  const NodeView node = type.node();
  const Value* given = object.find({"metadata", "managedFields"});
  // An empty list, or one empty entry, asks for a new beginning; only the main resource may set owners itself.
  const bool reset = writer.subresource.empty() && given != nullptr && given->is_array() &&
                     (given->size() == 0 || (given->size() == 1 && given->items()[0].size() == 0));
  Owners owners;
  if (!reset) {
    auto own = writer.subresource.empty() ? read_owners(object) : Result<Owners>(Owners());
    if (own && !own->empty())
      owners = *std::move(own);
    else
      owners = read_owners(live).value_or(Owners());
  }
  const Value bare = without_managed_fields(arena, live);
  const Value next = without_managed_fields(arena, object);
  const bool creates = live.string({"metadata", "uid"}).empty();
  if (owners.empty() && !creates) {  // nobody has been recorded, so nobody is
    object = next;
    return {};
  }
  FieldDifference difference = TRY(compare_fields(node, bare, next));
  Owner self = self_of(writer, false);
  Owner nobody = self;
  nobody.manager = "\n";
  if (!owners.empty()) give_up(owners, nobody, difference, nullptr);
  FieldSet taken = std::move(difference.modified);
  taken.unite(std::move(difference.added));
  taken.remove(server_fields());
  if (!taken.empty()) {
    Owner* mine = find(owners, self);
    if (mine == nullptr) mine = &owners.emplace_back(self);
    mine->fields.unite(std::move(taken));
    mine->time = writer.now;
  }
  drop_empty(owners);
  cap_updaters(owners);
  object = Value::object_of(arena, next.members());
  write_owners(arena, std::move(owners), object);
  return {};
}

}  // namespace proa::kube
