// Sets of keys and tokens as npm's jose makes them: prints issuers, with good tokens and bad ones.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { randomUUID } from "node:crypto";

// NODE_PATH is looked at by require alone.
const jose = await import(pathToFileURL(createRequire(import.meta.url).resolve("jose")));

const USER = "96bf0d3f-720d-4620-8dee-0f59f997cb51";
const issuer = "jose";

function token(key, header, changes = {}) {
  const claims = { token_type: "access", user_id: USER, jti: randomUUID(), ...changes };
  return new jose.SignJWT(claims)
    .setProtectedHeader({ typ: "JWT", ...header })
    .setIssuer(changes.iss ?? issuer)
    .setAudience("chat")
    .setIssuedAt()
    .setExpirationTime(changes.exp ?? "5m")
    .sign(key);
}

const keys = [];
const good = {};
const pairs = {};
for (const alg of ["RS256", "PS512", "ES256", "ES384", "Ed25519"]) {
  const pair = await jose.generateKeyPair(alg, { extractable: true });
  const jwk = await jose.exportJWK(pair.publicKey);
  const kid = await jose.calculateJwkThumbprint(jwk);
  keys.push({ ...jwk, kid, alg, use: "sig" });
  pairs[alg] = { key: pair.privateKey, kid };
  // Its tokens name EdDSA.
  const said = alg === "Ed25519" ? "EdDSA" : alg;
  good[said] = await token(pair.privateKey, { alg: said, kid });
}
const { key, kid } = pairs.ES256;
const stranger = await jose.generateKeyPair("ES256", { extractable: true });
const bad = {
  "another key": await token(stranger.privateKey, { alg: "ES256", kid }),
  "another key, with itself": await token(stranger.privateKey, {
    alg: "ES256",
    kid,
    jwk: await jose.exportJWK(stranger.publicKey),
  }),
  "another issuer": await token(key, { alg: "ES256", kid }, { iss: "other" }),
  expired: await token(key, { alg: "ES256", kid }, { exp: "5 minutes ago" }),
  "a refresh token": await token(key, { alg: "ES256", kid }, { token_type: "refresh" }),
  "an unsecured one": new jose.UnsecuredJWT({ user_id: USER, iss: issuer, aud: "chat" })
    .setExpirationTime("5m")
    .encode(),
};
console.log(JSON.stringify([{ issuer, keys: { keys }, good, bad }]));
