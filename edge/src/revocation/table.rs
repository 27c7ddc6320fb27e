//! The tokens that were taken away: of all users, of one, or one by one. A look costs the same however many there are.

use std::collections::HashMap;

use netrox_proto::{
    ids::UserId,
    token_name::TokenKey,
    v1::{AllTokens, RevokedTokens, revoked_tokens::Tokens},
};
use uuid::Uuid;

use super::TokenMark;

#[derive(Debug, Default)]
pub(super) struct Table {
    all: Option<Revoked>,
    users: HashMap<UserId, Revoked>,
    tokens: HashMap<TokenKey, Revoked>,
}

#[derive(Debug, Clone, Copy)]
struct Revoked {
    /// Those that were issued in this Unix second or before.
    issued_until: i64,
    /// In Unix seconds.
    expires_at: Option<i64>,
}

impl Revoked {
    fn means(self, token: &TokenMark) -> bool {
        token.issued_at <= self.issued_until
    }

    /// Says more, never less.
    fn widen(&mut self, other: Self) {
        self.issued_until = self.issued_until.max(other.issued_until);
        self.expires_at = self.expires_at.zip(other.expires_at).map(|(one, two)| one.max(two));
    }

    fn has_expired(self, now: i64) -> bool {
        self.expires_at.is_some_and(|at| at < now)
    }
}

impl Table {
    /// Gives whether it means tokens that were not meant before. What is not understood is of a later version, or no core's.
    pub(super) fn add(&mut self, revoked: &RevokedTokens) -> bool {
        let RevokedTokens { tokens, issued_until, expires_at } = revoked;
        let new = Revoked { issued_until: *issued_until, expires_at: *expires_at };
        let count = self.len();
        let known = match tokens {
            Some(Tokens::All(AllTokens {})) => self.all.get_or_insert(new),
            Some(Tokens::UserId(user)) => {
                let Ok(user) = Uuid::from_slice(user) else { return false };
                self.users.entry(UserId(user)).or_insert(new)
            }
            Some(Tokens::Token(name)) => {
                let Ok(name) = TokenKey::try_from(&name[..]) else { return false };
                self.tokens.entry(name).or_insert(new)
            }
            None => return false,
        };
        let is_later = new.issued_until > known.issued_until;
        known.widen(new);
        is_later || self.len() > count
    }

    pub(super) fn means(&self, user: UserId, token: &TokenMark) -> bool {
        self.all.is_some_and(|all| all.means(token))
            || self.users.get(&user).is_some_and(|of_user| of_user.means(token))
            || token.names.iter().flatten().any(|name| self.tokens.contains_key(name))
    }

    /// `now` is in Unix seconds.
    pub(super) fn forget_expired(&mut self, now: i64) {
        self.all = self.all.filter(|all| !all.has_expired(now));
        self.users.retain(|_, revoked| !revoked.has_expired(now));
        self.tokens.retain(|_, revoked| !revoked.has_expired(now));
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.all.is_some()) + self.users.len() + self.tokens.len()
    }
}

#[cfg(test)]
mod tests {
    use netrox_proto::token_name::token_key;

    use super::*;
    use crate::stub_core::user;

    fn revoked(tokens: Tokens, issued_until: i64) -> RevokedTokens {
        RevokedTokens { tokens: Some(tokens), issued_until, expires_at: None }
    }

    fn of_user(number: u128) -> Tokens {
        Tokens::UserId(user(number).0.as_bytes().to_vec())
    }

    fn issued(at: f64) -> TokenMark {
        TokenMark::new(None, None, Some(at))
    }

    #[test]
    fn tokens_of_that_second_and_before_are_meant_and_those_without_a_date() {
        let mut table = Table::default();
        table.add(&revoked(of_user(1), 100));
        for (token, expected) in [
            (issued(99.0), true),
            (issued(100.0), true),
            (issued(100.9), true),
            (issued(101.0), false),
            (TokenMark::default(), true),
        ] {
            assert_eq!(table.means(user(1), &token), expected, "{token:?}");
            assert!(!table.means(user(2), &token), "another's");
        }
        table.add(&revoked(Tokens::All(AllTokens {}), 50));
        assert!(table.means(user(2), &issued(50.0)) && !table.means(user(2), &issued(51.0)));
        assert!(table.means(user(1), &issued(100.0)), "what was said before counts still");
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_later_one_says_more_and_never_less() {
        let mut table = Table::default();
        let until = |issued_until, expires_at| RevokedTokens {
            expires_at,
            ..revoked(of_user(1), issued_until)
        };
        table.add(&until(100, Some(1_000)));
        table.add(&until(50, Some(2_000)));
        assert!(table.means(user(1), &issued(100.0)));
        table.forget_expired(1_500);
        assert!(table.means(user(1), &issued(100.0)));
        table.forget_expired(2_001);
        assert_eq!(table.len(), 0);
        for expires in [[Some(1), None], [None, Some(1)]] {
            let mut table = Table::default();
            expires.into_iter().for_each(|expires| {
                table.add(&until(100, expires));
            });
            table.forget_expired(i64::MAX);
            assert_eq!(table.len(), 1);
        }
    }

    #[test]
    fn one_token_is_meant_by_its_name_whatever_its_date() {
        let mut table = Table::default();
        let named = |issuer, id| Tokens::Token(token_key(issuer, id).to_vec());
        table.add(&revoked(named(None, "a"), 0));
        table.add(&revoked(named(Some("there"), "b"), 0));
        let token = |issuer, id| TokenMark::new(issuer, Some(id), Some(1e12));
        for (issuer, id, expected) in [
            (None, "a", true),
            (Some("here"), "a", true),
            (Some("there"), "b", true),
            (Some("here"), "b", false),
            (None, "b", false),
        ] {
            assert_eq!(table.means(user(1), &token(issuer, id)), expected, "{issuer:?} {id}");
        }
        assert!(!table.means(user(1), &issued(0.0)), "it has no name");
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        let mut table = Table::default();
        table.add(&RevokedTokens::default());
        table.add(&revoked(Tokens::UserId(vec![1; 15]), 100));
        table.add(&revoked(Tokens::Token(vec![1; 17]), 100));
        assert_eq!(table.len(), 0);
    }
}
