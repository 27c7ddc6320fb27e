"""The real program, in a directory of its own."""

import asyncio
import json
import os
import pathlib
import tempfile
import time
import uuid

import jwt

SECRET = "a-secret-of-the-tests-that-is-64-bytes-long-for-HS512-0123456789"
PATIENCE = 50


def token(user_id, seconds=3600):
    now = int(time.time())
    claims = {
        "token_type": "access",
        "exp": now + seconds,
        "iat": now,
        "jti": uuid.uuid4().hex,
        "user_id": user_id,
        "email": f"{user_id[:8]}@example.com",
    }
    return jwt.encode(claims, SECRET, algorithm="HS256")


class Program:
    """`async with Program() as program:`. It may be killed and started again on the same port."""

    def __init__(self, **settings):
        path = os.environ.get("NETROX_CHAT_TEST_PROGRAM")
        if path is None:
            root = pathlib.Path(__file__).resolve().parents[4]
            path = root / "target" / "debug" / "netrox-chat"
        self._path = path
        self._settings = {
            "http-addr": "127.0.0.1:0",
            "grpc-addr": "127.0.0.1:0",
            "admin-addr": "none",
            "jwt-secret": SECRET,
            "log-format": "json",
            "send-rate": "0",
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }
        self._directory = tempfile.TemporaryDirectory(prefix="netrox-chat-python.")
        self._process = None
        self._log = None
        self.address = None

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.kill()
        self._directory.cleanup()

    async def start(self):
        settings = {**self._settings, "data-dir": f"{self._directory.name}/data"}
        if self.address is not None:
            settings["http-addr"] = f"127.0.0.1:{self.address[1]}"
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("NETROX_CHAT_")
        }
        for name, value in settings.items():
            environment[f"NETROX_CHAT_{name.replace('-', '_').upper()}"] = value
        self._process = await asyncio.create_subprocess_exec(
            # It ends with this process, however that ends.
            "setpriv",
            "--pdeathsig",
            "KILL",
            self._path,
            "serve",
            env=environment,
            cwd=self._directory.name,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        lines = []

        async def listening():
            while True:
                line = await self._process.stderr.readline()
                if not line:
                    raise AssertionError(f"the program ended: {lines}")
                lines.append(line)
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                address = event.get("http.addr") or event.get("fields", {}).get("http.addr")
                if address:
                    host, port = address.rsplit(":", 1)
                    return host, int(port)

        self.address = await asyncio.wait_for(listening(), PATIENCE)
        self._log = asyncio.create_task(self._drain())

    async def _drain(self):
        while await self._process.stderr.readline():
            pass

    @property
    def url(self):
        return f"http://{self.address[0]}:{self.address[1]}"

    async def kill(self):
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        await self._end()

    async def stop(self):
        self._process.terminate()
        await self._end()

    async def _end(self):
        if self._process is not None:
            await self._process.wait()
        if self._log is not None:
            await self._log
            self._log = None
