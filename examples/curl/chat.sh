#!/usr/bin/env bash
# A conversation by curl alone: Alice writes, Bob reads what is new, and says so.
#
#   URL=http://127.0.0.1:8080 ALICE=<token> BOB=<token> BOB_ID=<uuid> examples/curl/chat.sh
set -euo pipefail
: "${URL:?}" "${ALICE:?}" "${BOB:?}" "${BOB_ID:?}"

call() { # TOKEN METHOD PATH [JSON]
    curl --silent --show-error --fail-with-body --request "$2" \
        --header "Authorization: Bearer $1" --header "Content-Type: application/json" \
        ${4:+--data "$4"} "$URL$3"
}
field() { sed -E "s/.*\"$1\":\"?([^\",}]*).*/\1/" <<<"$2"; }

# Each user is there with their first request. From here on Bob wants to be told of all that changes.
me="$(call "$ALICE" GET /v2/me)"
alice_id="$(sed -E 's/.*"user":\{"id":"([^"]*)".*/\1/' <<<"$me")"
cursor="$(field cursor "$(call "$BOB" GET /v2/sync)")"

# The reference is drawn once and sent again after any failure: it is one message, however often it is sent.
reference="$(cat /proc/sys/kernel/random/uuid)"
for _ in 1 2; do
    sent="$(call "$ALICE" POST "/v2/threads/$BOB_ID/messages" \
        "{\"message_body\":\"hello from curl\",\"client_ref\":\"$reference\"}")"
done
message_id="$(sed -E 's/^\{"id":([0-9]+).*/\1/' <<<"$sent")"
echo "sent message $message_id"

# All that has changed for Bob since then, in every conversation.
call "$BOB" GET "/v2/sync?after=$cursor"
echo

# Alice is shown two ticks.
call "$BOB" PUT "/v2/threads/$alice_id/seen" "{\"up_to\":$message_id}"
echo
