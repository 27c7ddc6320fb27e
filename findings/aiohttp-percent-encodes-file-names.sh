#!/usr/bin/env bash
# aiohttp 3.14.5, as a client: FormData writes the name of a file percent-encoded into a form.
#
# One would expect what browsers, curl, requests and httpx send: the characters themselves, but for quotes and
# line breaks. A server that reads the name as RFC 7578 and the HTML standard say stores "holiday%20photo.jpg",
# and shows it so to people. FormData(quote_fields=False) sends the characters.
#
# Seen, of a file named `holiday photo ü.jpg`:
#   default:            filename="holiday%20photo%20%C3%BC.jpg"
#   quote_fields=False: filename="holiday photo ü.jpg"
#   httpx:              filename="holiday photo ü.jpg"
# Needs Python 3.10 or later with venv. Takes 10 seconds.
set -euo pipefail
directory="$(mktemp -d)"
trap 'rm -rf "$directory"' EXIT

python3 -m venv "$directory/venv"
"$directory/venv/bin/pip" --quiet --disable-pip-version-check install --only-binary :all: aiohttp==3.14.5 httpx==0.28.1

cat >"$directory/form.py" <<'PYTHON'
import asyncio

import aiohttp
import httpx

NAME = "holiday photo ü.jpg"


class Sink:
    def __init__(self):
        self.written = b""

    async def write(self, chunk):
        self.written += chunk


def name_in(form):
    lines = form.decode().split("\r\n")
    disposition = next(line for line in lines if line.startswith("Content-Disposition:"))
    return disposition.partition("; ")[2].partition("; ")[2]


async def of_aiohttp(**options):
    form = aiohttp.FormData(**options)
    form.add_field("file", b"bytes", filename=NAME)
    sink = Sink()
    await form().write(sink)
    return name_in(sink.written)


print("default:           ", asyncio.run(of_aiohttp()))
print("quote_fields=False:", asyncio.run(of_aiohttp(quote_fields=False)))
request = httpx.Request("POST", "http://127.0.0.1/", files={"file": (NAME, b"bytes")})
print("httpx:             ", name_in(request.read()))
PYTHON

PYTHONUTF8=1 "$directory/venv/bin/python" "$directory/form.py" | tee "$directory/seen"
diff - "$directory/seen" <<'SEEN'
default:            filename="holiday%20photo%20%C3%BC.jpg"
quote_fields=False: filename="holiday photo ü.jpg"
httpx:              filename="holiday photo ü.jpg"
SEEN
