"""Fills an empty database with conversations, the same ones each time, and prints what is there."""

import json
from datetime import datetime, timedelta, timezone
from itertools import accumulate
from pathlib import Path
from random import Random
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import transaction
from users.models import User

from chat.management.commands import texts
from chat.models import Message, Thread, shown_size

BEGIN = datetime(2024, 6, 16, 11, 43, 37, 563070, timezone.utc)
# Between two messages, in microseconds: fifty thousand are over in February 2025.
LONGEST_PAUSE = 800_000_000
# Rows that somebody has removed leave holes between ids.
HOLE_EVERY = 500
BATCH = 2000
PROFILES = [
    None,
    None,
    None,
    {"name": "Ada", "age": 36},
    {"name": "Зоя", "tags": ["a", 1.5, None]},
    "text",
    7,
]
FILES = [
    ("photo.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"),
    ("pexels-nappy-936119.jpg", b"\xff\xd8\xff\xe1\x00\x10Exif\x00"),
    ("IMG_0042.PNG", b"\x89PNG\r\n\x1a\n"),
    ("动图.gif", b"GIF89a"),
    ("Rechnung (März) 100 %.pdf", b"%PDF-1.7\n"),
    ("notes.txt", "später 🙂\r\n".encode()),
    ("page.html", b"<!doctype html><script>1</script>"),
    ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ("голос.mp3", b"ID3\x03\x00"),
    ("archive.tar.gz", b"\x1f\x8b\x08\x00"),
    ("no extension", b"\x00\x01"),
]


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser):
        parser.add_argument("--users", type=int, default=60)
        parser.add_argument("--messages", type=int, default=50_000)
        parser.add_argument("--files", type=int, default=500)
        parser.add_argument("--seed", type=int, default=1)

    @transaction.atomic
    def handle(self, users, messages, files, seed, **options):
        random = Random(seed)
        people = User.objects.bulk_create(self.people(random, users))
        threads = Thread.objects.bulk_create(self.threads(random, people))
        removed = messages // HOLE_EVERY
        rows = self.messages(random, threads, messages + removed, files)
        Message.objects.bulk_create(rows, BATCH)
        texts_alone = Message.objects.filter(attached_file="").order_by("id")
        ids = texts_alone.values_list("id", flat=True)[::HOLE_EVERY][:removed]
        Message.objects.filter(id__in=list(ids)).delete()
        counts = {
            "users": len(people),
            "threads": len(threads),
            "messages": Message.objects.count(),
            "files": Message.objects.exclude(attached_file="").count(),
            "seen": Message.objects.filter(seen=True).count(),
            "deleted": Message.objects.filter(deleted=True).count(),
        }
        self.stdout.write(json.dumps(counts))

    def people(self, random, count):
        for number in range(count):
            yield User(
                id=UUID(int=random.getrandbits(128), version=4),
                email=f"user{number}@example.com" if number % 7 else f"Zoë.{number}+a@example.com",
                profile=PROFILES[number % len(PROFILES)],
                password="!",
            )

    def threads(self, random, people):
        """Each user talks to a few others. Nobody talks to the last one."""
        pairs = {}
        for at, one in enumerate(people[:-1]):
            for _ in range(2 if at % 10 else 6):
                two = random.choice(people[:-1])
                if two is not one and (two.id, one.id) not in pairs:
                    pairs[one.id, two.id] = None
        for at, (one, two) in enumerate(pairs):
            created = BEGIN + at * timedelta(milliseconds=1, microseconds=1)
            yield Thread(user_one_id=one, user_two_id=two, created=created)

    def messages(self, random, threads, count, files):
        # Some conversations are long, most are short.
        weights = list(accumulate(1 + 200 / (1 + at) for at in range(len(threads))))
        now, texts_of, begun = BEGIN, texts.endless(random), set()
        file_at = {(number + 1) * count // (files + 1): number for number in range(files)}
        # How far users have read: what is older is seen.
        read_until = {}
        ends = [0, count // 2, count]
        for at in range(count):
            now += timedelta(microseconds=random.randint(1, LONGEST_PAUSE))
            # One that falls on a second has no fraction where it is shown.
            created = now.replace(microsecond=0) if at == 100 else now
            thread = random.choices(threads, cum_weights=weights)[0]
            pair = [thread.user_one_id, thread.user_two_id]
            if thread.id in begun:
                random.shuffle(pair)
            begun.add(thread.id)
            sender, receiver = pair
            reads = read_until.setdefault((thread.id, receiver), random.choice(ends))
            row = Message(
                thread=thread,
                sender_id=sender,
                receiver_id=receiver,
                message=next(texts_of),
                seen=at < reads,
                deleted=random.random() < 0.01,
                created=created,
                updated=created,
            )
            if at in file_at:
                self.attach(row, random, file_at[at])
            if row.deleted:
                row.updated = created + timedelta(minutes=3, microseconds=17)
            yield row

    def attach(self, row, random, number):
        name, head = FILES[number % len(FILES)]
        # One is shown in megabytes, one is empty, some have nothing but their head.
        size = [1_600_000, 0][number] if number < 2 else random.choice([8, 300, 5_000, 30_000])
        content = (head + random.randbytes(256) * (size // 256 + 1))[:size]
        path = row.created.strftime("attachments/%Y/%M/%d/")
        path += f"{UUID(int=random.getrandbits(128), version=4)}{Path(name).suffix}"
        place = Path(settings.MEDIA_ROOT) / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        row.attached_file = path
        row.attached_file_name = name
        row.attached_file_size = shown_size(len(content))
        row.message = row.message if number % 3 else ""
