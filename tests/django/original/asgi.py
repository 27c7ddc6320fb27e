import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "original.settings")

from django.core.asgi import get_asgi_application  # noqa: E402

# Before what needs the models.
http = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from chat.consumers import Room  # noqa: E402
from django.urls import path  # noqa: E402

application = ProtocolTypeRouter(
    {"http": http, "websocket": URLRouter([path("ws/chat/room/", Room.as_asgi())])}
)
