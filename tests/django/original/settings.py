"""Settings, from the environment:

* ORIGINAL_DATABASE_URL: postgres://… or sqlite:///path
* ORIGINAL_MEDIA: where files are kept
* ORIGINAL_SIGNING_KEY: signs access tokens
* ORIGINAL_READ_ONLY=1: nothing is written, and no WebSocket is taken
"""

import os
from urllib.parse import unquote, urlsplit

READ_ONLY = os.environ.get("ORIGINAL_READ_ONLY") == "1"


def database(url):
    """What Django calls it. The engine itself refuses to write where nothing may be written."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        # Who reads first and writes later in one transaction waits for others as well.
        options = {"transaction_mode": "IMMEDIATE", "timeout": 20}
        if READ_ONLY:
            options["init_command"] = "pragma query_only = 1"
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": unquote(parts.path),
            "OPTIONS": options,
        }
    options = {"options": "-c default_transaction_read_only=on"} if READ_ONLY else {}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.removeprefix("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname,
        "PORT": parts.port,
        "OPTIONS": options,
    }


SECRET_KEY = os.environ["ORIGINAL_SIGNING_KEY"]
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "original.urls"
ASGI_APPLICATION = "original.asgi.application"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "channels",
    "users",
    "chat",
]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
DATABASES = {"default": database(os.environ["ORIGINAL_DATABASE_URL"])}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "users.User"
USE_TZ = True
TIME_ZONE = "UTC"
MEDIA_ROOT = os.environ["ORIGINAL_MEDIA"]
MEDIA_URL = "/mediafiles/"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework_simplejwt.authentication.JWTAuthentication"
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
