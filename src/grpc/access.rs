//! What each method needs of its caller. A method that stands not in the table cannot be called without role admin.

use crate::govern::Role;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing, not even a key.
    Open,
    /// The right to send prompts.
    Routing,
    Role(Role),
}

/// Everything of ours.
const PACKAGE: &str = "/semroute.";

/// As documented in `keys.proto`.
const TABLE: [(&str, Access); 35] = [
    ("RouterService/Route", Access::Routing),
    ("RouterService/RouteBatch", Access::Routing),
    ("RouterService/Complete", Access::Routing),
    ("RouterService/CompleteStream", Access::Routing),
    ("RouterService/Feedback", Access::Routing),
    ("ReferenceService/ListSets", Access::Role(Role::ReadOnly)),
    ("ReferenceService/GetSet", Access::Role(Role::ReadOnly)),
    ("ReferenceService/UpsertSet", Access::Role(Role::Write)),
    // Takes it out of service.
    ("ReferenceService/DeleteSet", Access::Role(Role::Admin)),
    ("ReferenceService/ListRoutes", Access::Role(Role::ReadOnly)),
    ("ReferenceService/UpsertRoute", Access::Role(Role::Write)),
    ("ReferenceService/DeleteRoute", Access::Role(Role::Write)),
    ("ReferenceService/ListReferencePrompts", Access::Role(Role::ReadOnly)),
    ("ReferenceService/GetReferencePrompt", Access::Role(Role::ReadOnly)),
    ("ReferenceService/UpsertReferencePrompts", Access::Role(Role::Write)),
    ("ReferenceService/DeleteReferencePrompts", Access::Role(Role::Write)),
    ("ReferenceService/Import", Access::Role(Role::Write)),
    ("ReferenceService/Export", Access::Role(Role::ReadOnly)),
    ("ReferenceService/Publish", Access::Role(Role::Admin)),
    ("ReferenceService/Rollback", Access::Role(Role::Admin)),
    ("ReferenceService/ListVersions", Access::Role(Role::ReadOnly)),
    ("ReferenceService/ListProposals", Access::Role(Role::ReadOnly)),
    ("ReferenceService/AcceptProposal", Access::Role(Role::Write)),
    ("ReferenceService/RejectProposal", Access::Role(Role::Write)),
    ("AdminService/GetStatus", Access::Role(Role::ReadOnly)),
    // It ends with a version that is served.
    ("AdminService/StartReindex", Access::Role(Role::Admin)),
    ("AdminService/GetReindex", Access::Role(Role::ReadOnly)),
    ("AdminService/ListReindexes", Access::Role(Role::ReadOnly)),
    ("AdminService/ListTargets", Access::Role(Role::ReadOnly)),
    ("KeyService/CreateKey", Access::Role(Role::Admin)),
    ("KeyService/ListKeys", Access::Role(Role::Admin)),
    ("KeyService/GetKey", Access::Role(Role::Admin)),
    ("KeyService/UpdateKey", Access::Role(Role::Admin)),
    ("KeyService/RotateKey", Access::Role(Role::Admin)),
    ("KeyService/RevokeKey", Access::Role(Role::Admin)),
];

/// `path`: such as `/semroute.v1.RouterService/Route`.
pub(super) fn access(path: &str) -> Access {
    if !path.starts_with(PACKAGE) {
        return Access::Open;
    }
    let method = path.strip_prefix("/semroute.v1.").unwrap_or_default();
    let entry = TABLE.iter().find(|(name, _)| *name == method);
    entry.map_or(Access::Role(Role::Admin), |(_, access)| *access)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::methods;

    #[test]
    fn every_method_has_an_entry_and_every_entry_a_method() {
        let mut methods = methods();
        let mut entries: Vec<String> = TABLE.iter().map(|(name, _)| format!("/semroute.v1.{name}")).collect();
        methods.sort();
        entries.sort();
        assert_eq!(entries, methods, "say in access.rs and keys.proto who may call a new method");
    }

    #[test]
    fn what_is_not_ours_is_open_and_what_is_unknown_is_not() {
        assert_eq!(access("/grpc.health.v1.Health/Check"), Access::Open);
        assert_eq!(access("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"), Access::Open);
        for path in
            ["/semroute.v1.RouterService/Rout", "/semroute.v2.RouterService/Route", "/semroute.v1.RouterService"]
        {
            assert_eq!(access(path), Access::Role(Role::Admin), "{path}");
        }
        assert_eq!(access("/semroute.v1.RouterService/Complete"), Access::Routing);
    }
}
