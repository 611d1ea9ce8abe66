#!/usr/bin/env python3
"""Talks to a semroute server knowing nothing but its address: no .proto files, no generated code.

The server describes its services itself, through gRPC reflection. Needs: pip install grpcio grpcio-reflection
"""

import argparse
import json
import sys
from typing import Any
from collections.abc import Iterator

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

Message = dict[str, Any]


class Server:
    """Calls any method of a server by its name; requests and answers are dicts."""

    def __init__(self, address: str, timeout: float = 60.0) -> None:
        self.timeout = timeout
        self.channel = grpc.insecure_channel(address)
        self.descriptors = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = DescriptorPool(self.descriptors)

    def services(self) -> list[str]:
        return sorted(self.descriptors.get_services())

    def call(self, service: str, method: str, request: Message) -> Message:
        """One request, one answer: `call("semroute.v1.RouterService", "Route", {...})`."""
        path, message, answer = self._prepare(service, method, request)
        rpc = self.channel.unary_unary(path, type(message).SerializeToString, answer.FromString)
        return self._to_dict(rpc(message, timeout=self.timeout))

    def stream(self, service: str, method: str, request: Message) -> Iterator[Message]:
        """One request, many answers, as they come. Closing the iterator cancels the call."""
        path, message, answer = self._prepare(service, method, request)
        rpc = self.channel.unary_stream(path, type(message).SerializeToString, answer.FromString)
        events = rpc(message, timeout=self.timeout)
        try:
            for event in events:
                yield self._to_dict(event)
        finally:
            events.cancel()

    def _prepare(self, service: str, method: str, request: Message) -> tuple[str, Any, Any]:
        described = self.pool.FindServiceByName(service).FindMethodByName(method)
        message = json_format.ParseDict(request, GetMessageClass(described.input_type)(), descriptor_pool=self.pool)
        return f"/{service}/{method}", message, GetMessageClass(described.output_type)

    def _to_dict(self, message: Any) -> Message:
        return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=self.pool)


def show(address: str, prompt: str, reference_set: str, timeout: float) -> Message:
    server = Server(address, timeout)
    router = "semroute.v1.RouterService"
    request = {"input": {"text": prompt}, "reference_set": reference_set}
    explained = {**request, "options": {"max_neighbours": 3, "explain": True}}
    return {
        "services": server.services(),
        "health": server.call("grpc.health.v1.Health", "Check", {"service": router}),
        "route": server.call(router, "Route", explained),
        "complete": server.call(router, "Complete", request),
        "stream": list(server.stream(router, "CompleteStream", request)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Calls Route, Complete, CompleteStream and the health check of a semroute server, and prints the "
        "answers as JSON.",
        epilog='Example: reflection_client.py 127.0.0.1:50051 "Why does my loop never end?"',
    )
    parser.add_argument("address", help="host and port, for example 127.0.0.1:50051")
    parser.add_argument("prompt", nargs="?", default="Translate this into French: good morning")
    parser.add_argument("--set", default="", metavar="NAME", help="reference set [default: the server's]")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="for each call [default: 60]")
    args = parser.parse_args()
    try:
        print(json.dumps(show(args.address, args.prompt, args.set, args.timeout), indent=2, ensure_ascii=False))
    except grpc.RpcError as error:
        print(f"error: {error.code().name}: {error.details()}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
