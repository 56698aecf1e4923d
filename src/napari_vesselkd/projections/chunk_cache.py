"""Arrays that were read or computed once, kept up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Any, Generic, TypeVar

Kept = TypeVar("Kept")


class ByteCache(Generic[Kept]):
    """Keeps what was used last, at most `limit` bytes of it; safe to share between threads.

    Parameters
    ----------
    limit : int
        Bytes; what does not fit on its own is not kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.nbytes = 0
        self._kept: OrderedDict[Hashable, tuple[Kept, int]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def get(self, key: Hashable) -> Kept | None:
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, value: Kept, nbytes: int, *, cold: bool = False) -> None:
        """Keep `value`; one that is `cold` is the first to go when room is needed."""
        with self._lock:
            self._drop(key)
            if nbytes > self.limit or (cold and self.nbytes + nbytes > self.limit):
                return
            self._kept[key] = (value, nbytes)
            self.nbytes += nbytes
            if cold:
                self._kept.move_to_end(key, last=False)
            while self.nbytes > self.limit:
                self._drop(next(iter(self._kept)))

    def forget(self, keep: Any = None) -> None:
        """Drop everything, or only the keys for which `keep(key)` is false."""
        with self._lock:
            for key in [key for key in self._kept if keep is None or not keep(key)]:
                self._drop(key)

    def _drop(self, key: Hashable) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self.nbytes -= found[1]
