from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings
from django.utils import timezone
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import AuthenticationFailed, InvalidToken

from chat import shown
from chat.models import Message, Thread
from chat.views import user_called


@database_sync_to_async
def user_of(token):
    authentication = JWTAuthentication()
    try:
        return authentication.get_user(authentication.get_validated_token(token))
    except (AuthenticationFailed, InvalidToken):
        return None


@database_sync_to_async
def store(sender, receiver_id, body):
    """Stores a text message. Nothing of one whose receiver is unknown."""
    receiver = user_called(receiver_id)
    if receiver is None:
        return None
    thread = Thread.objects.between(sender, receiver)
    row = Message(thread=thread, sender=sender, receiver=receiver, message=body)
    row.save()
    return row


@database_sync_to_async
def uploaded(sender, message_id):
    rows = Message.objects.filter(sender=sender, deleted=False, attached_file__gt="")
    return rows.filter(id=message_id).first()


def group(user_id):
    return f"user_{user_id.hex}"


class Room(AsyncJsonWebsocketConsumer):
    """A client's WebSocket. Whoever is addressed is told on each of theirs."""

    async def connect(self):
        token = parse_qs(self.scope["query_string"].decode()).get("token", [""])[0]
        self.user = await user_of(token)
        if self.user is None or settings.READ_ONLY:
            await self.close()
            return
        await self.channel_layer.group_add(group(self.user.id), self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        if self.user is not None:
            await self.channel_layer.group_discard(group(self.user.id), self.channel_name)

    async def receive_json(self, content):
        match content:
            case {"action": "chat_message", "message_body": str(body), "receiver_id": receiver}:
                row = await store(self.user, receiver, body)
                frame = row and shown.text_frame(row)
            case {"action": "chat_message_file", "chat_id": str() | int() as message_id}:
                row = await uploaded(self.user, int(message_id))
                frame = row and shown.file_frame(row, timezone.now())
            case _:
                return
        if row is not None:
            event = {"type": "tell", "frame": frame}
            await self.channel_layer.group_send(group(row.receiver_id), event)

    async def tell(self, event):
        await self.send_json(event["frame"])
