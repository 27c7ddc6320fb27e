//! Access tokens that count no more, as they are imported: together with what is there they only ever say more.

use super::{Intake, Taken, is_far_ahead};
use crate::{
    lines::RevocationLine,
    store::{
        engine::on,
        session::{self, NewNotice, NoticeKind, TooMany},
    },
};

impl Intake {
    /// `now` is in seconds since the epoch.
    pub(crate) async fn revocations(
        &mut self,
        lines: Vec<RevocationLine>,
        now: i64,
    ) -> Result<Taken, sqlx::Error> {
        let mut taken = Taken::default();
        for (place, line) in lines.into_iter().enumerate() {
            if line.expires_at.is_some_and(|at| at < now) {
                taken.known += 1;
                continue;
            }
            // It could not be taken back: no token would ever count again.
            if is_far_ahead(line.issued_until) {
                taken.refuse(place, "issued_until is more than a day ahead");
                continue;
            }
            let notice = match notice(&line) {
                Ok(notice) => notice,
                Err(reason) => {
                    taken.refuse(place, reason);
                    continue;
                }
            };
            if self.is_revoked(&notice).await? {
                taken.known += 1;
                continue;
            }
            let kept = &mut self.revocations;
            match session::note(&mut self.connection, &notice, now, kept).await? {
                Ok(_) => taken.stored += 1,
                Err(TooMany(limit)) => {
                    taken.refuse(place, format!("as many revocations are kept as may be: {limit}"));
                }
            }
        }
        Ok(taken)
    }
}

impl Intake {
    /// Whether what is noted says as much.
    async fn is_revoked(&mut self, notice: &NewNotice) -> Result<bool, sqlx::Error> {
        const FIND: &str =
            "select cutoff, expires from session_notices where kind = $1 and key = $2";
        let NewNotice { kind, key, cutoff, expires } = notice;
        let found: Option<(i64, Option<i64>)> = on!(
            &mut self.connection,
            fetch_optional,
            sqlx::query_as(FIND).bind(*kind as i64).bind(key)
        )?;
        Ok(found.is_some_and(|(noted, until)| {
            noted >= *cutoff && until.is_none_or(|until| expires.is_some_and(|at| at <= until))
        }))
    }
}

fn notice(line: &RevocationLine) -> Result<NewNotice, &'static str> {
    let (kind, key) = match (&line.user_id, &line.token) {
        (Some(user), None) => (NoticeKind::TokensOfUser, user.as_bytes().to_vec()),
        (None, Some(token)) => {
            let digest = digest(token).ok_or("token is not of 32 hexadecimal digits")?;
            (NoticeKind::Token, digest)
        }
        (None, None) => (NoticeKind::AllTokens, Vec::new()),
        (Some(_), Some(_)) => return Err("either user_id or token"),
    };
    Ok(NewNotice { kind, key, cutoff: line.issued_until, expires: line.expires_at })
}

fn digest(digits: &str) -> Option<Vec<u8>> {
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let bytes = (0..32).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok());
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_its_digits_and_no_others() {
        assert_eq!(digest("000102030405060708090a0b0c0d0eff").expect("16 bytes")[15], 0xff);
        for wrong in ["", "00", "+00102030405060708090a0b0c0d0eff", &"é".repeat(16)] {
            assert_eq!(digest(wrong), None, "{wrong}");
        }
    }
}
