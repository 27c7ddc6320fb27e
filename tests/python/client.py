"""A chat client that knows netrox-chat by nothing but its address and its service token.

It learns the contract from server reflection, so it shows that a foreign gRPC stack can use it: it
lists the services, upserts two users, subscribes, sends, receives, sends a file, reads the history,
and meets an error with its details. Prints "ok" at the end; anything unexpected is an exception.

    NETROX_CHAT_SERVICE_TOKEN=... python client.py 127.0.0.1:50051
"""

import collections
import json
import os
import sys
import uuid

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

PACKAGE = "netrox.chat.v1"
SERVICES = [f"{PACKAGE}.{name}" for name in ("AttachmentService", "ChatService", "DirectoryService")]
# Seconds; nothing here takes one.
TIMEOUT = 30

CallDetails = collections.namedtuple(
    "CallDetails", ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression")
)


class ServiceToken(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds the service's credential to every call."""

    def __init__(self, token):
        self._authorization = ("authorization", f"Bearer {token}")

    def _authorize(self, details):
        return CallDetails(
            details.method,
            details.timeout,
            [*(details.metadata or ()), self._authorization],
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )

    def intercept_unary_unary(self, call, details, request):
        return call(self._authorize(details), request)

    def intercept_unary_stream(self, call, details, request):
        return call(self._authorize(details), request)

    def intercept_stream_unary(self, call, details, requests):
        return call(self._authorize(details), requests)

    def intercept_stream_stream(self, call, details, requests):
        return call(self._authorize(details), requests)


class Contract:
    """The messages and methods of the package, as the server describes them."""

    def __init__(self, channel):
        self._channel = channel
        self._database = ProtoReflectionDescriptorDatabase(channel)
        self._pool = descriptor_pool.DescriptorPool(self._database)

    def services(self):
        return sorted(self._database.get_services())

    def message(self, name, **fields):
        descriptor = self._pool.FindMessageTypeByName(f"{PACKAGE}.{name}")
        return message_factory.GetMessageClass(descriptor)(**fields)

    def call(self, service, name, request):
        """Calls a method; `request` is a message, or an iterable of them where the client streams."""
        method = self._pool.FindServiceByName(f"{PACKAGE}.{service}").FindMethodByName(name)
        arity = {
            (False, False): self._channel.unary_unary,
            (False, True): self._channel.unary_stream,
            (True, False): self._channel.stream_unary,
            (True, True): self._channel.stream_stream,
        }[method.client_streaming, method.server_streaming]
        response = message_factory.GetMessageClass(method.output_type)
        function = arity(
            f"/{PACKAGE}.{service}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        return function(request, timeout=TIMEOUT)


def rpc_message(name, **fields):
    """A message class of google.rpc, which the contract's descriptors do not include."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto",
        package="google.rpc",
        syntax="proto3",
        dependency=[any_pb2.DESCRIPTOR.name],
    )
    message = file.message_type.add(name=name)
    field = descriptor_pb2.FieldDescriptorProto
    for number, (field_name, kind) in enumerate(fields.items(), start=1):
        added = message.field.add(name=field_name, number=number, type=kind)
        added.label = field.LABEL_OPTIONAL
        if kind == field.TYPE_MESSAGE:
            added.label, added.type_name = field.LABEL_REPEATED, ".google.protobuf.Any"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"google.rpc.{name}"))


def error_reason(error):
    """The `reason` of the google.rpc.ErrorInfo among the details of a status."""
    kind = descriptor_pb2.FieldDescriptorProto
    status_class = rpc_message(
        "Status", code=kind.TYPE_INT32, message=kind.TYPE_STRING, details=kind.TYPE_MESSAGE
    )
    info_class = rpc_message("ErrorInfo", reason=kind.TYPE_STRING, domain=kind.TYPE_STRING)
    trailers = dict(error.trailing_metadata())
    status = status_class.FromString(trailers["grpc-status-details-bin"])
    for detail in status.details:
        if detail.type_url.endswith("/google.rpc.ErrorInfo"):
            return info_class.FromString(detail.value).reason
    raise AssertionError("a refusal without ErrorInfo")


def check(found, expected):
    if found != expected:
        raise AssertionError(f"found {found!r}, expected {expected!r}")


def upsert_users(contract, ids):
    users = [
        contract.message("UserChange", id=id, email=f"{name}@example.com", profile_json='{"n":1}')
        for name, id in ids.items()
    ]
    request = contract.message("UpsertUsersRequest", users=users)
    stored = contract.call("DirectoryService", "UpsertUsers", request).users
    check([user.id for user in stored], list(ids.values()))
    check(json.loads(stored[0].profile_json), {"n": 1})


def upload(contract, sender, receiver, content):
    def parts():
        start = contract.message("UploadStart", sender_id=sender, file_name="bytes.bin")
        yield contract.message("UploadAttachmentRequest", start=start)
        for at in range(0, len(content), 1000):
            yield contract.message("UploadAttachmentRequest", chunk=content[at : at + 1000])
        finish = contract.message("UploadFinish", receiver_id=receiver, body="a file")
        yield contract.message("UploadAttachmentRequest", finish=finish)

    return contract.call("AttachmentService", "UploadAttachment", parts()).message


def converse(contract, sender, receiver):
    """Sends and receives, and returns the file message that was sent last."""
    request = contract.message("SubscribeRequest", user_id=receiver)
    subscription = contract.call("ChatService", "Subscribe", request)
    first = next(subscription)
    check(list(first.events), [])
    received = (event.message for response in subscription for event in response.events)

    body = "héllo, wörld \U0001f30d"
    request = contract.message(
        "SendMessageRequest", sender_id=sender, receiver_id=receiver, body=body
    )
    sent = contract.call("ChatService", "SendMessage", request)
    message = next(received)
    check((message.id, message.body, message.sender_id), (sent.message_id, body, sender))
    check(message.created, sent.created)

    content = bytes(range(256)) * 20
    uploaded = upload(contract, sender, receiver, content)
    check(uploaded.attachment.size, len(content))
    check(uploaded.attachment.HasField("dispatched"), False)

    def pipeline():
        for number in range(100):
            message = contract.message(
                "SendMessageRequest", sender_id=sender, receiver_id=receiver, body=str(number)
            )
            yield contract.message("SendMessagesRequest", request_id=number, message=message)
        dispatch = contract.message(
            "DispatchAttachmentRequest", sender_id=sender, message_id=uploaded.id
        )
        yield contract.message("SendMessagesRequest", request_id=100, attachment=dispatch)

    answers = contract.call("ChatService", "SendMessages", pipeline())
    answered = {answer.request_id: answer.WhichOneof("result") for answer in answers}
    check(answered, {number: "message" for number in range(100)} | {100: "attachment"})
    check([next(received).body for _ in range(100)], [str(number) for number in range(100)])
    delivered = next(received)
    check((delivered.id, delivered.body), (uploaded.id, "a file"))
    subscription.cancel()

    request = contract.message("DownloadAttachmentRequest", path=delivered.attachment.path)
    chunks = contract.call("AttachmentService", "DownloadAttachment", request)
    check(b"".join(chunk.chunk for chunk in chunks), content)


def read_history(contract, reader, peer):
    request = contract.message("ListMessagesRequest", user_id=reader, peer_id=peer)
    pages = contract.call("ChatService", "ListMessages", request)
    ids = [message.id for page in pages for message in page.messages]
    check(len(ids), 102)
    check(ids, sorted(ids))


def meet_an_error(contract, sender):
    request = contract.message(
        "SendMessageRequest", sender_id=sender, receiver_id=str(uuid.uuid4()), body="hello"
    )
    try:
        contract.call("ChatService", "SendMessage", request)
    except grpc.RpcError as error:
        check(error.code(), grpc.StatusCode.NOT_FOUND)
        check(error_reason(error), "RECEIVER_UNKNOWN")
    else:
        raise AssertionError("a message to nobody was stored")


def main():
    (address,) = sys.argv[1:]
    token = ServiceToken(os.environ["NETROX_CHAT_SERVICE_TOKEN"])
    with grpc.insecure_channel(address) as plain:
        contract = Contract(grpc.intercept_channel(plain, token))
        services = contract.services()
        print("services:", *services)
        check([service for service in services if service in SERVICES], SERVICES)
        ids = {name: str(uuid.uuid4()) for name in ("ada", "bob")}
        upsert_users(contract, ids)
        converse(contract, ids["ada"], ids["bob"])
        read_history(contract, ids["bob"], ids["ada"])
        meet_an_error(contract, ids["ada"])
    print("ok")


if __name__ == "__main__":
    main()
