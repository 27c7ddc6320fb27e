use std::net::Ipv4Addr;

use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use super::*;
use crate::{
    config::{AddressRate, Jwt, JwtKey, Limits},
    logs::Logs,
    strangers::Strangers,
    stub_core::config,
};

const PUBLIC_KEY: &[u8] = include_bytes!("../auth/keys/rsa.pub.pem");
const PRIVATE_KEY: &[u8] = include_bytes!("../auth/keys/rsa.pem");
const USER: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";

/// An edge's door, by a public key, through which one failed token may come in an hour.
struct World {
    doorkeeper: Doorkeeper,
    strangers: Arc<Strangers>,
}

fn world() -> World {
    let once = AddressRate { count: 1, period: Duration::from_secs(3_600) };
    let limits = Limits {
        failed_tokens_per_address: Some(once),
        unauthenticated_requests_per_address: Some(once),
        ..Limits::default()
    };
    let jwt = Jwt::of_key(JwtKey::PublicKeyPem(PUBLIC_KEY.to_vec()));
    let config = Config { jwt, ..config(limits) };
    let authenticator = Arc::new(Authenticator::new(&config.jwt).expect("a usable key"));
    let doorkeeper = Doorkeeper::new(&config, &authenticator, &Metrics::default());
    World { doorkeeper, strangers: Arc::new(Strangers::new(&config)) }
}

fn address() -> ClientAddress {
    ClientAddress::new(Ipv4Addr::new(198, 51, 100, 7).into())
}

impl World {
    fn visitor(&self, address: Option<ClientAddress>) -> Visitor {
        Visitor::new(Arc::new(Strangers::welcome(&self.strangers)), address)
    }

    async fn ask(&self, token: &str) -> Result<Identity, TurnedAway> {
        let mut request = Extensions::new();
        request.insert(self.visitor(Some(address())));
        self.doorkeeper.authenticate(&HeaderMap::new(), Some(token), &request, Patience::NONE).await
    }
}

const NEVER: i64 = 9_999_999_999;
const LONG_AGO: i64 = 1_000_000_000;

fn token(id: &str, expires_at: i64) -> String {
    let claims = json!({"exp": expires_at, "user_id": USER, "jti": id});
    let key = EncodingKey::from_rsa_pem(PRIVATE_KEY).expect("a key");
    encode(&Header::new(Algorithm::RS256), &claims, &key).expect("a token")
}

fn forged(id: &str) -> String {
    let good = token(id, NEVER);
    let (head, _) = good.rsplit_once('.').expect("a token");
    let (_, other) = token("another", NEVER)
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("a token");
    format!("{head}.{other}")
}

#[tokio::test(start_paused = true)]
async fn an_address_over_its_rate_is_told_late_and_its_good_tokens_pass() {
    let logs = Logs::capture();
    let world = world();
    let known = token("known", NEVER);
    assert!(world.ask(&known).await.is_ok());
    for _ in 0..3 {
        let expired = world.ask(&token("expired", LONG_AGO)).await;
        assert_eq!(expired, Err(TurnedAway::Refused(Refusal::Expired)));
    }
    let refused = world.ask(&forged("first")).await;
    assert_eq!(refused, Err(TurnedAway::Refused(Refusal::Signature)));
    let begun = Instant::now();
    let refused = world.ask(&forged("second")).await;
    assert!(matches!(refused, Err(TurnedAway::TooMany(_))), "{refused:?}");
    assert_eq!(begun.elapsed(), DELAY);
    assert!(world.ask(&token("never seen", NEVER)).await.is_ok());
    let expired = world.ask(&token("expired", LONG_AGO)).await;
    assert_eq!(expired, Err(TurnedAway::Refused(Refusal::Expired)));
    assert_eq!(begun.elapsed(), DELAY, "at once");

    // While others of the address are verified, only what is known passes.
    let places = [
        world.doorkeeper.verifying.take(address(), None, Instant::now()).await,
        world.doorkeeper.verifying.take(address(), None, Instant::now()).await,
    ];
    assert!(world.ask(&known).await.is_ok());
    let refused = world.ask(&token("waits in vain", NEVER)).await;
    assert!(matches!(refused, Err(TurnedAway::TooMany(_))), "{refused:?}");
    assert_eq!(begun.elapsed(), DELAY + PATIENCE);
    // What costs no more than a digest needs no place.
    let by_secret = encode(&Header::default(), &json!({}), &EncodingKey::from_secret(b"a secret"));
    let refused = world.ask(&by_secret.expect("a token")).await;
    assert!(matches!(refused, Err(TurnedAway::TooMany(_))), "{refused:?}");
    assert_eq!(begun.elapsed(), 2 * DELAY + PATIENCE);
    // Who does not even find room to wait is told so late too.
    let crowd_came = Instant::now();
    let crowd = (0..=MAX_WAITING).map(async |number| {
        let refused = world.ask(&token(&number.to_string(), NEVER)).await;
        assert!(matches!(refused, Err(TurnedAway::TooMany(_))), "{refused:?}");
        crowd_came.elapsed()
    });
    let mut told = join_all(crowd).await;
    told.sort();
    assert_eq!((told[0], told[1]), (DELAY, PATIENCE));
    drop(places);
    assert!(world.ask(&token("later", NEVER)).await.is_ok());
    assert_eq!(logs.take().matches("198.51.100.7").count(), 1, "one line a minute");
}

#[tokio::test(start_paused = true)]
async fn what_leads_nowhere_counts_and_what_leads_somewhere_does_not() {
    let world = world();
    let stranger = world.visitor(Some(address()));
    let mut request = Extensions::new();
    let known = world.visitor(Some(address()));
    request.insert(known.clone());
    Visitor::become_known(&request);
    let begun = Instant::now();
    let answer = |status| {
        let mut answer = PublicError::not_found().into_response();
        *answer.status_mut() = status;
        answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*".parse().expect("*"));
        answer
    };
    let ask = async |visitor: &Visitor, status, is_second| {
        let told = world.doorkeeper.instead(answer(status), visitor, is_second).await;
        assert_eq!(told.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        (told.status().as_u16(), told.headers().get(header::CONTENT_TYPE).cloned())
    };
    for _ in 0..10 {
        // Why it is unavailable is no fault of who asks.
        for status in [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE] {
            assert_eq!(ask(&stranger, status, false).await.0, status);
        }
        assert_eq!(ask(&known, StatusCode::NOT_FOUND, false).await.0, 404);
        let nowhere = world.visitor(None);
        assert_eq!(ask(&nowhere, StatusCode::NOT_FOUND, false).await.0, 404);
    }
    assert_eq!(ask(&stranger, StatusCode::NOT_FOUND, false).await.0, 404);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    for (is_second, content_type) in
        [(false, "application/json"), (true, "application/problem+json")]
    {
        let (status, told) = ask(&stranger, StatusCode::UNAUTHORIZED, is_second).await;
        assert_eq!((status, told.expect("a type")), (429, content_type.parse().expect("a type")));
    }
    assert_eq!(begun.elapsed(), 2 * DELAY);
}
