"""Sets of keys and tokens as Python's libraries make them: prints issuers, with good tokens and bad ones.

Other tokens have the claims of those of Django SimpleJWT.
"""

import datetime
import json
import time
import uuid

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from joserfc import jwk as joserfc_jwk, jwt as joserfc_jwt
from jwcrypto import jwk as jwcrypto_jwk, jwt as jwcrypto_jwt

USER = "96bf0d3f-720d-4620-8dee-0f59f997cb51"


def claims(issuer, **changes):
    """Those of a token of SimpleJWT."""
    now = int(time.time())
    return {
        "token_type": "access",
        "exp": now + 300,
        "iat": now,
        "jti": uuid.uuid4().hex,
        "user_id": USER,
        "iss": issuer,
        "aud": "chat",
        **changes,
    }


def pyjwt():
    """Keycloak's form: a key of signatures, and one of encryption beside it."""
    issuer = "pyjwt"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encryption = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def public(key, **members):
        return {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), **members}

    def token(algorithm, kid="one", key=key, **changes):
        headers = {"kid": kid} if kid else None
        return jwt.encode(claims(issuer, **changes), key, algorithm=algorithm, headers=headers)

    certificate = ["MIICmzCCAYMCBgGFAAAA"]
    return {
        "issuer": issuer,
        "keys": {
            "keys": [
                public(encryption, kid="two", use="enc", alg="RSA-OAEP", x5c=certificate),
                public(key, kid="one", use="sig", alg="RS256", x5c=certificate, x5t="AA"),
            ]
        },
        "good": {"RS256": token("RS256"), "no kid": token("RS256", kid=None),
                 "several audiences": token("RS256", aud=["web", "chat"])},
        "bad": {
            "an algorithm that the key is not for": token("PS256"),
            "RS512": token("RS512"),
            "the key of encryption": token("RS256", kid="two", key=encryption),
            "a refresh token": token("RS256", token_type="refresh"),
            "expired": token("RS256", exp=int(time.time()) - 60),
            "no signature": jwt.encode(claims(issuer), None, algorithm="none"),
        },
    }


def joserfc():
    """Keys of all kinds."""
    issuer = "joserfc"
    keys = [
        ("RS256", joserfc_jwk.RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})),
        ("PS384", joserfc_jwk.RSAKey.generate_key(3072, {"kid": "pss", "alg": "PS384"})),
        ("ES256", joserfc_jwk.ECKey.generate_key("P-256", {"kid": "p256"})),
        ("ES384", joserfc_jwk.ECKey.generate_key("P-384", {"kid": "p384"})),
        ("EdDSA", joserfc_jwk.OKPKey.generate_key("Ed25519", {"kid": "ed"})),
    ]
    others = [
        ("ES512", joserfc_jwk.ECKey.generate_key("P-521", {"kid": "p521"})),
        ("ES256K", joserfc_jwk.ECKey.generate_key("secp256k1", {"kid": "k1"})),
        ("HS256", joserfc_jwk.OctKey.generate_key(256, {"kid": "oct"})),
    ]

    def token(algorithm, key):
        header = {"alg": algorithm, "kid": key.kid}
        return joserfc_jwt.encode(header, claims(issuer), key, algorithms=[algorithm])

    published = [key.as_dict(private=False) for _, key in keys + others[:2]]
    published.append(others[2][1].as_dict(private=True))
    return {
        "issuer": issuer,
        "keys": {"keys": published},
        "good": {algorithm: token(algorithm, key) for algorithm, key in keys},
        "bad": {algorithm: token(algorithm, key) for algorithm, key in others},
    }


def jwcrypto():
    """One key without a name, as some publish it."""
    issuer = "jwcrypto"
    key = jwcrypto_jwk.JWK.generate(kty="EC", crv="P-256")
    other = jwcrypto_jwk.JWK.generate(kty="EC", crv="P-256")

    def token(key, **header):
        made = jwcrypto_jwt.JWT(header={"alg": "ES256", **header}, claims=claims(issuer))
        made.make_signed_token(key)
        return made.serialize()

    return {
        "issuer": issuer,
        "keys": {"keys": [key.export_public(as_dict=True)]},
        "good": {"no kid": token(key), "a kid": token(key, kid=key.thumbprint())},
        "bad": {"another key": token(other)},
    }


def firebase():
    """A map of certificates, and a user's id as "sub"."""
    issuer = "https://securetoken.google.com/project"
    keys = {name: rsa.generate_private_key(public_exponent=65537, key_size=2048) for name in "ab"}

    def certificate(key):
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "securetoken.example")])
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1))
        built = builder.not_valid_after(now + datetime.timedelta(days=14))
        pem = built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return pem.decode()

    def token(kid, key):
        now = int(time.time())
        payload = {"iss": issuer, "aud": "chat", "auth_time": now, "sub": USER, "iat": now,
                   "exp": now + 3600, "email": "a@example.com",
                   "firebase": {"identities": {}, "sign_in_provider": "password"}}
        return jwt.encode(payload, key, algorithm="RS256", headers={"kid": kid})

    return {
        "issuer": issuer,
        "keys": {name: certificate(key) for name, key in keys.items()},
        "good": {name: token(name, key) for name, key in keys.items()},
        "bad": {"the other's name": token("a", keys["b"]), "nobody's name": token("c", keys["a"])},
    }


def ed25519_of_pyjwt():
    """Auth0's and Cognito's form, with more members than needed."""
    issuer = "https://tenant.example/"
    key = ed25519.Ed25519PrivateKey.generate()
    elliptic = ec.generate_private_key(ec.SECP384R1())
    published = [
        {**jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "ed",
         "use": "sig", "key_ops": ["verify"]},
        {**jwt.algorithms.ECAlgorithm.to_jwk(elliptic.public_key(), as_dict=True), "kid": "ec",
         "use": "sig", "x5t#S256": "AA"},
    ]

    def token(kid, key, algorithm):
        return jwt.encode(claims(issuer), key, algorithm=algorithm, headers={"kid": kid})

    return {
        "issuer": issuer,
        "keys": {"keys": published},
        "good": {"EdDSA": token("ed", key, "EdDSA"), "ES384": token("ec", elliptic, "ES384")},
        "bad": {"the other's name": token("ed", elliptic, "ES384")},
    }


def simplejwt():
    """Django SimpleJWT itself, with keys that one would publish by hand."""
    issuer = "simplejwt"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                            serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM,
                                           serialization.PublicFormat.SubjectPublicKeyInfo)
    import django
    from django.conf import settings

    apps = ["django.contrib.auth", "django.contrib.contenttypes"]
    settings.configure(SECRET_KEY="unused", INSTALLED_APPS=apps, SIMPLE_JWT={
        "ALGORITHM": "RS256", "SIGNING_KEY": pem.decode(), "VERIFYING_KEY": public.decode(),
        "ISSUER": issuer, "AUDIENCE": "chat",
    })
    django.setup()
    from rest_framework_simplejwt import tokens

    class User:
        id = pk = uuid.UUID(USER)
        is_active = True

    published = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    refresh = tokens.RefreshToken.for_user(User())
    return {
        "issuer": issuer,
        "keys": {"keys": [published]},
        "good": {"access": str(tokens.AccessToken.for_user(User())),
                 "access of a refresh token": str(refresh.access_token)},
        "bad": {"refresh": str(refresh), "sliding": str(tokens.SlidingToken.for_user(User()))},
    }


print(json.dumps([simplejwt(), pyjwt(), joserfc(), jwcrypto(), firebase(), ed25519_of_pyjwt()]))
