//! What a cluster promises while its parts fail: clients stay connected wherever their edge lives, errors come
//! soon, service is back soon after its engines are, and no message that anybody saw is lost, doubled or
//! reordered (ARCHITECTURE.md, guarantees).

mod chaos;
mod join;
mod nats;
mod partition;
mod postgres;
mod process;
mod scene;
mod upgrade;
