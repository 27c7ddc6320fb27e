"""What is shown of rows, with the keys that are documented, in their order."""

from rest_framework.fields import DateTimeField

moment = DateTimeField().to_representation


def user(row):
    return {"id": str(row.id), "email": row.email, "profile": row.profile}


def thread(row):
    return {
        "id": row.id,
        "user_one": user(row.user_one),
        "user_two": user(row.user_two),
        "craeted": moment(row.created),
    }


def message(row):
    return {
        "id": row.id,
        "sender": user(row.sender),
        "receiver": user(row.receiver),
        "attached_file_size": row.attached_file_size,
        "message": row.message,
        "updated": moment(row.updated),
        "created": moment(row.created),
        "seen": row.seen,
        "deleted": row.deleted,
        "attached_file": row.attached_file.url if row.attached_file else None,
        "attached_file_name": row.attached_file_name,
        "thread": row.thread_id,
    }


def text_frame(row):
    return {
        "message_body": row.message,
        "sender_id": str(row.sender_id),
        "receiver_id": str(row.receiver_id),
        "timestamp": row.created.isoformat(),
        "created_msg_id": row.id,
        "action": "re_message",
    }


def file_frame(row, now):
    return {
        "message_body": row.message,
        "attached_file_name": row.attached_file_name,
        "attached_file_size": row.attached_file_size,
        "attached_file_url": row.attached_file.url,
        "sender_id": str(row.sender_id),
        "receiver_id": str(row.receiver_id),
        "timestamp": now.isoformat(),
        "created_msg_id": row.id,
        "action": "re_message_file",
    }
