"""Background traffic: TCP transfers over the loopback interface, one after another without a pause.

It stands for the transfers between cluster machines that ParM's evaluation ran beside its workers (2 to 5 at a time, of
128 to 256 MB each; Kosaian, Rashmi and Venkataraman, "Parity models", SOSP 2019). On one machine there is no network
link to fill. The transfers use CPU time, memory bandwidth and the kernel's network stack instead.
"""

from __future__ import annotations

import mmap
import socket
import threading
from collections.abc import Callable

BUFFER_BYTES = 1 << 18


class Moved:
    """The number of bytes that each transfer has moved, in memory shared by the moving process and its parent."""

    def __init__(self, transfers: int) -> None:
        self._map = mmap.mmap(-1, 8 * transfers)
        self.bytes = memoryview(self._map).cast("Q")

    def total(self) -> int:
        """Return the bytes moved so far."""
        return sum(self.bytes)

    def close(self) -> None:
        """Free the memory."""
        self.bytes.release()
        self._map.close()


def prepare(transfers: int, transfer_bytes: int, moved: Moved) -> Callable[[], None]:
    """Open the ports and return a function that makes transfers forever.

    Args:
        transfers: number of concurrent transfers.
        transfer_bytes: size of each transfer.
        moved: counts the received bytes.
    """
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(transfers)]

    def go_on() -> None:
        threads = [threading.Thread(target=_receive, args=(listener, moved, i)) for i, listener in enumerate(listeners)]
        threads += [threading.Thread(target=_send, args=(listener, transfer_bytes)) for listener in listeners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return go_on


def _receive(listener: socket.socket, moved: Moved, place: int) -> None:
    buffer = memoryview(bytearray(BUFFER_BYTES))
    while True:
        connection, _ = listener.accept()
        with connection:
            while count := connection.recv_into(buffer):
                moved.bytes[place] += count


def _send(listener: socket.socket, transfer_bytes: int) -> None:
    data = memoryview(bytes(BUFFER_BYTES))
    while True:
        with socket.create_connection(listener.getsockname()) as connection:
            left = transfer_bytes
            while left:
                left -= connection.send(data[: min(left, BUFFER_BYTES)])
