#!/usr/bin/env bash
# Writes the secrets of compose.yaml to deploy/secrets, once; what is there stays.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
cd secrets

random() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
for name in jwt-secret nats-token postgres-password service-token; do
    if [ ! -s "$name" ]; then random >"$name"; fi
done
# Made anew from those, as they cannot be written to.
rm -f bus-url database-url nats.conf
echo "postgres://netrox@postgres:5432/netrox?password=$(cat postgres-password)" >database-url
echo "nats://$(cat nats-token)@nats:4222" >bus-url
echo "authorization { token: \"$(cat nats-token)\" }" >nats.conf

# Compose mounts them as they are, and the programs do not run as root. The directory keeps others out.
chmod 444 ./*
