"""A form with one file, read as it arrives: nothing is held in memory or copied to a temporary folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

PIECE_BYTES = 256 * 1024
MAX_PARTS = 20
MAX_FIELD_BYTES = 64 * 1024  # of one text field
MAX_HEADER_BYTES = 512 * 1024  # what the decoder may hold back while it looks for the end of a part


class FileForm:
    """Reads a body part by part: `open_file`, then `pieces`, then `rest`. `fields` fills up on the way."""

    def __init__(self, read: Callable[[int], bytes], boundary: str) -> None:
        self._decoder = MultipartDecoder(boundary.encode("latin-1"), MAX_HEADER_BYTES, max_parts=MAX_PARTS)
        self._read = read
        self._parts = self._events()
        self.fields: dict[str, str] = {}
        self.filename = ""

    def open_file(self, name: str) -> bool:
        """Read up to the first byte of the file called `name`; False when the form holds none."""
        for event in self._parts:
            if isinstance(event, File) and event.name == name:
                self.filename = event.filename or ""
                return True
            self._take(event)
        return False

    def pieces(self) -> Iterator[bytes]:
        """The file, until its end."""
        for event in self._parts:
            assert isinstance(event, Data)
            if event.data:
                yield bytes(event.data)
            if not event.more_data:
                return

    def rest(self) -> None:
        """Read the fields that come after the file."""
        for event in self._parts:
            self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, Field):
            self.fields[event.name] = self._text()
        elif isinstance(event, File):
            self._skip()

    def _text(self) -> str:
        data = bytearray()
        for event in self._parts:
            assert isinstance(event, Data)
            data += event.data
            if len(data) > MAX_FIELD_BYTES:
                raise RequestEntityTooLarge
            if not event.more_data:
                break
        return data.decode("utf-8", errors="replace")

    def _skip(self) -> None:
        for event in self._parts:
            assert isinstance(event, Data)
            if not event.more_data:
                return

    def _events(self) -> Iterator[Event]:
        while True:
            try:
                event = self._decoder.next_event()
            except ValueError as error:
                raise BadRequest from error
            if isinstance(event, Epilogue):
                return
            if isinstance(event, NeedData):
                # The decoder takes None as the end of the input; a form that ends early is then an error.
                self._decoder.receive_data(self._read(PIECE_BYTES) or None)
                continue
            yield event
