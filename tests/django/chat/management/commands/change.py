"""Changes rows that are there, as users and a team do in an hour, and prints how many.

What is seen changes without `updated`, as it does wherever a team writes `.update(seen=True)`.
"""

import json

from django.core.management.base import BaseCommand
from django.db import transaction
from users.models import User

from chat.models import Message


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser):
        parser.add_argument("--messages", type=int, default=20)

    @transaction.atomic
    def handle(self, messages, **options):
        there = Message.objects.filter(deleted=False)
        # Whole conversations, so that nothing older stays unseen.
        thread = there.filter(seen=False, attached_file="").order_by("id").first().thread_id
        seen = Message.objects.filter(thread=thread, seen=False).update(seen=True)
        deleted = list(there.filter(attached_file="").order_by("id")[:messages])
        for row in deleted:
            row.deleted = True
            row.save()
        # The oldest that are left, which no live client has written.
        rewritten = list(there.filter(attached_file="").order_by("id")[:messages])
        for row in rewritten:
            row.message = f"{row.message} (rewritten)"
            row.save()
        user = User.objects.order_by("id").first()
        user.profile = {"name": "Grace", "since": 2026}
        user.save()
        User.objects.create(email="somebody.new@example.com", password="!")
        counts = {"seen": seen, "deleted": len(deleted), "rewritten": len(rewritten)}
        self.stdout.write(json.dumps(counts))
