from chat.views import Attachment, Messages, Threads
from django.conf import settings
from django.urls import path
from django.views.static import serve

urlpatterns = [
    path("chat/messages/<uid>/", Messages.as_view()),
    path("chat/chat-attachment/", Attachment.as_view()),
    path("chat/get-user-threads/", Threads.as_view()),
    path("mediafiles/<path:path>", serve, {"document_root": settings.MEDIA_ROOT}),
]
