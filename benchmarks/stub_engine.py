"""An engine that costs nothing: an OpenAI-compatible address that answers every question alike, after a fixed wait.

    python -m benchmarks.stub_engine [--port N] [--wait SECONDS]

It says on standard output where it listens, and on a GET of /asked how many questions it was asked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

ANSWER = '{"corrected":"She goes to school.","errors":[{"type":"replacement","span":"go"}]}'
PIECE = 12  # characters of a streamed answer's


class StubEngine:
    """Args:
    wait: seconds before an answer.
    answer: what it says.
    """

    def __init__(self, wait: float = 0.05, answer: str = ANSWER) -> None:
        self.wait, self.answer, self.asked = wait, answer, 0

    async def serve(self, port: int = 0) -> asyncio.Server:
        """Listening at this machine."""
        return await asyncio.start_server(self._connection, "127.0.0.1", port)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                body = await reader.readexactly(length)
                await self._reply(head.split(b" ")[1], body, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _reply(self, path: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        if path == b"/asked":
            self._send(writer, {"asked": self.asked})
        elif path == b"/v1/models":
            self._send(writer, {"data": [{"id": "stub"}]})
        else:
            self.asked += 1
            await asyncio.sleep(self.wait)
            if b'"stream": true' in body:
                await self._stream(writer)
            else:
                message = {"role": "assistant", "content": self.answer}
                self._send(writer, {"choices": [{"message": message, "finish_reason": "stop"}]})
        await writer.drain()

    def _send(self, writer: asyncio.StreamWriter, content: object) -> None:
        said = json.dumps(content).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(said), said)
        )

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        pieces = [self.answer[at : at + PIECE] for at in range(0, len(self.answer), PIECE)]
        events = [{"delta": {"content": piece}, "finish_reason": None} for piece in pieces]
        for each in [*events, {"delta": {}, "finish_reason": "stop"}]:
            _chunk(writer, b"data: " + json.dumps({"choices": [each]}).encode() + b"\n\n")
            await asyncio.sleep(0)
        _chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")


def _chunk(writer: asyncio.StreamWriter, content: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(content), content))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--wait", type=float, default=0.05)
    arguments = parser.parse_args()
    server = await StubEngine(arguments.wait).serve(arguments.port)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)  # ends with whoever started it


if __name__ == "__main__":
    asyncio.run(main())
