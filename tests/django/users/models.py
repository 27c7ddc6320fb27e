import uuid

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models


class User(AbstractBaseUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField(unique=True)
    profile = models.JSONField(null=True)

    USERNAME_FIELD = "email"
    objects = BaseUserManager()
