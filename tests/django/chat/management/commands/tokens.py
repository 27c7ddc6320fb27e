"""Prints the access token of each user, as SimpleJWT makes it: {"<uuid>": "<token>"}."""

import json
from datetime import timedelta

from django.core.management.base import BaseCommand
from rest_framework_simplejwt.tokens import AccessToken
from users.models import User


class Command(BaseCommand):
    help = __doc__

    def handle(self, **options):
        tokens = {}
        for user in User.objects.order_by("id"):
            token = AccessToken.for_user(user)
            token.set_exp(lifetime=timedelta(hours=2))
            tokens[str(user.id)] = str(token)
        self.stdout.write(json.dumps(tokens))
