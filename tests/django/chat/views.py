from uuid import UUID

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Q
from rest_framework.parsers import MultiPartParser
from rest_framework.response import Response
from rest_framework.views import APIView
from users.models import User

from chat import shown
from chat.models import Message, Thread, shown_size


def success(entity, message, status=200):
    envelope = {"status": "success", "entity": entity, "message": message, "success": True}
    return Response(envelope, status)


def failure(message, status):
    envelope = {"status": "failure", "entity": None, "message": message, "success": False}
    return Response(envelope, status)


def user_called(uid):
    """The user of an id as clients send it."""
    try:
        return User.objects.filter(id=UUID(str(uid))).first()
    except ValueError:
        return None


class Messages(APIView):
    def get(self, request, uid):
        peer = user_called(uid)
        if peer is None:
            return failure("Invalid receipient", 404)
        both = Q(sender=request.user, receiver=peer) | Q(sender=peer, receiver=request.user)
        rows = Message.objects.filter(both).select_related("sender", "receiver")
        messages = [shown.message(row) for row in rows.order_by("created", "id")]
        return success({"messages": messages}, "Messages retreived successfully")


class Threads(APIView):
    def get(self, request):
        rows = Thread.objects.filter(Q(user_one=request.user) | Q(user_two=request.user))
        rows = rows.select_related("user_one", "user_two").order_by("id")
        return success([shown.thread(row) for row in rows], None)


class Attachment(APIView):
    parser_classes = [MultiPartParser]

    def post(self, request):
        if settings.READ_ONLY:
            return failure("Read only", 503)
        receiver = user_called(request.data.get("receiver"))
        if receiver is None:
            return failure("Invalid receipient", 404)
        file = request.data.get("attached_file")
        if not isinstance(file, UploadedFile):
            return failure("attached_file is missing", 400)
        row = Message(
            thread=Thread.objects.between(request.user, receiver),
            sender=request.user,
            receiver=receiver,
            message=request.data.get("message", ""),
            attached_file=file,
            attached_file_name=file.name,
            attached_file_size=shown_size(file.size),
        )
        row.save()
        entity = {"message": shown.message(row)}
        return success(entity, "File uploaded and chat created successfully", 201)
