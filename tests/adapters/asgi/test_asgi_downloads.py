"""Files that leave a Starlette app to be shown instead of saved."""

import pytest
from starlette.applications import Starlette
from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Route

from adapters.asgi.asgiclient import browsing, told, watched

PAGES = b"%PDF-1.7 " * 100


@pytest.fixture
def browser(entries, tmp_path):
    file = tmp_path / "record.pdf"
    file.write_bytes(PAGES)

    async def shown(request):
        return FileResponse(file, filename="patient.pdf", content_disposition_type="inline")

    async def marked(request):
        return PlainTextResponse("note", headers={"Content-Disposition": "inline"})

    with browsing(watched(Starlette(routes=[Route("/shown", shown), Route("/marked", marked)]))) as browser:
        yield browser


def test_a_file_that_is_shown(browser, entries):
    """A file that the browser shows has left as well, as with Django's and Flask's own file responses."""
    assert browser.get("/shown").body == PAGES
    [entry] = told(entries)
    assert (entry["event.name"], entry["event.outcome"]) == ("data_download", "success")
    assert (entry["file.name"], entry["seclog.bytes"]) == ("patient.pdf", len(PAGES))


def test_text_that_is_marked_as_inline(browser, entries):
    """A page is no file, whatever its headers call it."""
    assert browser.get("/marked").body == b"note"
    assert told(entries) == []
