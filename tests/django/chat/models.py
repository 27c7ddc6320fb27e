import uuid
from pathlib import PurePosixPath

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


def upload_to(message, name):
    """The documented paths have minutes (%M) where months were meant."""
    directory = timezone.now().strftime("attachments/%Y/%M/%d/")
    return f"{directory}{uuid.uuid4()}{PurePosixPath(name).suffix}"


def shown_size(size):
    """As documents show it: "86.73KB"."""
    megabytes = size / 1024 / 1024
    return f"{megabytes:.2f}MB" if megabytes > 1 else f"{size / 1024:.2f}KB"


class ThreadManager(models.Manager):
    def between(self, one, two):
        """The conversation of two users, made where there is none."""
        both = Q(user_one=one, user_two=two) | Q(user_one=two, user_two=one)
        return self.filter(both).first() or self.create(user_one=one, user_two=two)


class Thread(models.Model):
    user_one = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    user_two = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    created = models.DateTimeField(default=timezone.now)

    objects = ThreadManager()


class Message(models.Model):
    thread = models.ForeignKey(Thread, models.CASCADE)
    sender = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    receiver = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    message = models.TextField(blank=True)
    attached_file = models.FileField(upload_to=upload_to, max_length=255, null=True)
    attached_file_name = models.CharField(max_length=255, null=True)
    attached_file_size = models.CharField(max_length=32, default="0kb")
    seen = models.BooleanField(default=False)
    deleted = models.BooleanField(default=False)
    created = models.DateTimeField(default=timezone.now)
    updated = models.DateTimeField()

    def save(self, **options):
        # Equal in a new one, as documented.
        self.updated = timezone.now() if self.pk else self.created
        super().save(**options)
