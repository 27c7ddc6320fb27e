//! What services may do: the scope that each method of the contract needs. The one place that says so.

/// A part of the contract that a service may be let to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Writes messages, files and marks, as any user.
    Send,
    /// Reads what any user can read.
    Read,
    /// Knows and changes the directory of users.
    Directory,
    /// What takes something away from users, and what looks into one of them.
    Admin,
    /// All that an edge calls.
    Edge,
}

impl Scope {
    pub const ALL: [Self; 5] = [Self::Send, Self::Read, Self::Directory, Self::Admin, Self::Edge];

    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Read => "read",
            Self::Directory => "directory",
            Self::Admin => "admin",
            Self::Edge => "edge",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// Which scopes a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scopes(u8);

impl Scopes {
    pub(crate) fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope)).map(Scope::name)
    }

    pub(super) fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    pub(crate) fn allow(self, method: &Method) -> bool {
        self.has(method.scope) || method.is_of_edges && self.has(Scope::Edge)
    }

    /// Whether all that another may do may be done with these.
    pub(crate) fn include(self, other: Self) -> bool {
        METHODS.iter().all(|method| self.allow(method) || !other.allow(method))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |all, scope| all | 1 << scope as u8))
    }
}

/// A method of the contract.
#[derive(Debug)]
pub(crate) struct Method {
    /// As gRPC calls it.
    pub(crate) path: &'static str,
    /// What a service needs to call it.
    pub(crate) scope: Scope,
    /// Whether edges call it.
    is_of_edges: bool,
}

impl Method {
    pub(crate) fn of_path(path: &str) -> Option<&'static Self> {
        METHODS.iter().find(|method| method.path == path)
    }

    /// Its last word.
    pub(crate) fn name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// Called by edges for users, too.
const fn both(path: &'static str, scope: Scope) -> Method {
    Method { path, scope, is_of_edges: true }
}

/// Of other services alone.
const fn services(path: &'static str, scope: Scope) -> Method {
    Method { path, scope, is_of_edges: false }
}

/// Each method of each service of ours.
const METHODS: [Method; 40] = [
    both("/netrox.chat.v1.ChatService/SendMessage", Scope::Send),
    both("/netrox.chat.v1.ChatService/SendMessages", Scope::Send),
    both("/netrox.chat.v1.ChatService/EditMessage", Scope::Send),
    both("/netrox.chat.v1.ChatService/DeleteMessage", Scope::Send),
    both("/netrox.chat.v1.ChatService/MarkSeen", Scope::Send),
    both("/netrox.chat.v1.ChatService/MarkDelivered", Scope::Send),
    both("/netrox.chat.v1.ChatService/BlockUser", Scope::Send),
    both("/netrox.chat.v1.ChatService/UnblockUser", Scope::Send),
    both("/netrox.chat.v1.ChatService/SetTyping", Scope::Send),
    both("/netrox.chat.v1.ChatService/BatchSetTyping", Scope::Send),
    both("/netrox.chat.v1.ChatService/SetPresence", Scope::Send),
    both("/netrox.chat.v1.ChatService/GetPresence", Scope::Read),
    both("/netrox.chat.v1.ChatService/WatchPresence", Scope::Read),
    both("/netrox.chat.v1.ChatService/ListBlocks", Scope::Read),
    both("/netrox.chat.v1.ChatService/SearchMessages", Scope::Read),
    both("/netrox.chat.v1.ChatService/GetThread", Scope::Read),
    both("/netrox.chat.v1.ChatService/GetSend", Scope::Read),
    both("/netrox.chat.v1.ChatService/GetMessage", Scope::Read),
    both("/netrox.chat.v1.ChatService/ListMessages", Scope::Read),
    both("/netrox.chat.v1.ChatService/ListThreads", Scope::Read),
    both("/netrox.chat.v1.ChatService/Subscribe", Scope::Read),
    both("/netrox.chat.v1.AttachmentService/UploadAttachment", Scope::Send),
    both("/netrox.chat.v1.AttachmentService/DispatchAttachment", Scope::Send),
    both("/netrox.chat.v1.AttachmentService/GetAttachment", Scope::Read),
    both("/netrox.chat.v1.AttachmentService/DownloadAttachment", Scope::Read),
    both("/netrox.chat.v1.DirectoryService/EnsureUser", Scope::Directory),
    both("/netrox.chat.v1.DirectoryService/GetUsers", Scope::Directory),
    services("/netrox.chat.v1.DirectoryService/ListUsers", Scope::Directory),
    services("/netrox.chat.v1.DirectoryService/UpsertUsers", Scope::Directory),
    services("/netrox.chat.v1.DirectoryService/DeleteUser", Scope::Admin),
    services("/netrox.chat.v1.SessionService/RevokeTokens", Scope::Admin),
    services("/netrox.chat.v1.SessionService/EndSessions", Scope::Admin),
    services("/netrox.chat.v1.SessionService/ListSessions", Scope::Admin),
    both("/netrox.chat.v1.SessionService/WatchSessions", Scope::Edge),
    both("/netrox.chat.v1.SessionService/CreateTicket", Scope::Edge),
    both("/netrox.chat.v1.SessionService/RedeemTicket", Scope::Edge),
    both("/netrox.chat.v1.SessionService/ReportSockets", Scope::Edge),
    services("/netrox.chat.v1.AdminService/GetUserRecord", Scope::Admin),
    services("/netrox.chat.v1.AdminService/ExportUser", Scope::Admin),
    services("/netrox.chat.v1.AdminService/TapUser", Scope::Admin),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;

    use super::*;

    #[test]
    fn each_method_of_the_contract_needs_a_scope() {
        let set = prost_types::FileDescriptorSet::decode(netrox_proto::FILE_DESCRIPTOR_SET);
        let files = set.expect("a descriptor set").file;
        let mut expected = BTreeSet::new();
        for file in files.iter().filter(|file| file.package().starts_with("netrox.")) {
            for service in &file.service {
                expected.extend(service.method.iter().map(|method| {
                    format!("/{}.{}/{}", file.package(), service.name(), method.name())
                }));
            }
        }
        let known: BTreeSet<_> = METHODS.iter().map(|method| method.path.to_owned()).collect();
        assert_eq!(known, expected);
        assert_eq!(known.len(), METHODS.len(), "one of them is there twice");
    }

    #[test]
    fn a_scope_is_for_its_methods_and_each_has_some() {
        for scope in Scope::ALL {
            assert_eq!(Scope::of_name(scope.name()), Some(scope));
            let scopes = Scopes::from_iter([scope]);
            let allowed = METHODS.iter().filter(|method| scopes.allow(method));
            assert!(allowed.count() > 0, "{scope:?}");
            assert!(Scopes::all().include(scopes) && !scopes.include(Scopes::all()));
        }
        let edge = Scopes::from_iter([Scope::Edge]);
        assert!(edge.include(Scopes::from_iter([Scope::Send, Scope::Read])));
        for kept in ["UpsertUsers", "DeleteUser"] {
            let path = format!("/netrox.chat.v1.DirectoryService/{kept}");
            assert!(!edge.allow(Method::of_path(&path).expect("a method")), "{kept}");
        }
        assert!(METHODS.iter().all(|method| !Scopes::default().allow(method)));
    }
}
