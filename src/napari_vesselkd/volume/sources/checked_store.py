"""A local zarr store that notices truncated blosc chunks, which the codec decodes to rubbish in silence."""

from __future__ import annotations

from typing import Any

from zarr.storage import LocalStore

METADATA_FILES = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")
BLOSC_HEADER_BYTES = 16


class CheckedStore(LocalStore):  # type: ignore[misc]
    """Reads a local zarr; for watched arrays, checks each chunk's length against its blosc header."""

    def watch(self, array: Any) -> None:
        """Check the chunks of `array` from now on, if it is compressed with blosc alone."""
        watched: set[str] = self.__dict__.setdefault("watched", set())
        codecs = list(getattr(array, "compressors", ()))
        if getattr(array, "shards", None) is None and codecs and "blosc" in type(codecs[-1]).__name__.lower():
            watched.add(f"{array.path}/" if array.path else "")

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """Return the bytes of `key`, None where there are none.

        Raises
        ------
        ValueError
            If a chunk is shorter or longer than its header says.
        """
        value = await super().get(key, prototype, byte_range)
        if value is None or byte_range is not None or not self._is_watched(key):
            return value
        header = value[:BLOSC_HEADER_BYTES].to_bytes()
        promised = int.from_bytes(header[12:16], "little")
        if len(header) < BLOSC_HEADER_BYTES or promised != len(value):
            raise ValueError(
                f"the file {self.root / key} has {len(value)} bytes, {promised} by its blosc header"
            )
        return value

    def _is_watched(self, key: str) -> bool:
        watched = self.__dict__.get("watched", ())
        return key.rsplit("/", 1)[-1] not in METADATA_FILES and any(key.startswith(p) for p in watched)
