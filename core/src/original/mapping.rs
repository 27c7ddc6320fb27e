//! What the original calls its tables, columns and models: a JSON file whose names are those of the preset where it has none.

use serde::Deserialize;

/// The preset is read off the documented API alone (`docs/JSON-LINES.md`, "From the original server").
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// Of PostgreSQL; without one that of the role's search path.
    pub schema: Option<String>,
    pub users: UserTable,
    pub threads: ThreadTable,
    pub messages: MessageTable,
}

/// Each name is a column of the database. In fixtures, fields that refer to another row go by the name of their column without
/// `_id` (see [`field`]).
macro_rules! table {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty = $preset:expr,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            pub table: String,
            /// As `manage.py dumpdata` writes it: `app.model`.
            pub model: String,
            $(pub $field: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    table: Self::TABLE.to_owned(),
                    model: Self::MODEL.to_owned(),
                    $($field: $preset,)+
                }
            }
        }
    };
}

fn named(name: &str) -> String {
    name.to_owned()
}

fn maybe(name: &str) -> Option<String> {
    Some(name.to_owned())
}

table! {
    /// `email` and `profile` may be missing, and `null` in the file.
    UserTable {
        id: String = named("id"),
        email: Option<String> = maybe("email"),
        profile: Option<String> = maybe("profile"),
    }
}

table! {
    ThreadTable {
        id: String = named("id"),
        user_one: String = named("user_one_id"),
        user_two: String = named("user_two_id"),
        created: String = named("created"),
    }
}

table! {
    /// `attached_file_size` may be missing, and `null` in the file.
    MessageTable {
        id: String = named("id"),
        thread: String = named("thread_id"),
        sender: String = named("sender_id"),
        receiver: String = named("receiver_id"),
        message: String = named("message"),
        attached_file: String = named("attached_file"),
        attached_file_name: String = named("attached_file_name"),
        attached_file_size: Option<String> = maybe("attached_file_size"),
        seen: String = named("seen"),
        deleted: String = named("deleted"),
        created: String = named("created"),
        updated: String = named("updated"),
    }
}

impl UserTable {
    const TABLE: &str = "users_user";
    const MODEL: &str = "users.user";
}

impl ThreadTable {
    const TABLE: &str = "chat_thread";
    const MODEL: &str = "chat.thread";
}

impl MessageTable {
    const TABLE: &str = "chat_message";
    const MODEL: &str = "chat.message";
}

/// What a fixture calls the field of a column that refers to another row: Django makes the column of it with `_id`.
pub(crate) fn field(column: &str) -> &str {
    column.strip_suffix("_id").unwrap_or(column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_leaves_out_is_the_preset() {
        assert_eq!(serde_json::from_str::<Mapping>("{}").expect("a mapping"), Mapping::default());
        let text = r#"{"schema": "old", "users": {"table": "auth_user", "profile": null},
            "messages": {"thread": "conversation_id"}}"#;
        let mapping: Mapping = serde_json::from_str(text).expect("a mapping");
        assert_eq!(mapping.schema.as_deref(), Some("old"));
        assert_eq!((&*mapping.users.table, &*mapping.users.model), ("auth_user", "users.user"));
        assert_eq!((mapping.users.profile, &*mapping.users.id), (None, "id"));
        assert_eq!(field(&mapping.messages.thread), "conversation");
        assert_eq!(mapping.threads, ThreadTable::default());
        for wrong in [r#"{"user": {}}"#, r#"{"users": {"name": "x"}}"#] {
            assert!(serde_json::from_str::<Mapping>(wrong).is_err(), "{wrong}");
        }
    }
}
