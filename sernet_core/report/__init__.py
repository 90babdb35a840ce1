"""What a run leaves behind for people: an HTML page, a contact sheet and an overlay video."""

from sernet_core.report.page import render_page, subject
from sernet_core.report.ranked import RankedExhibits
from sernet_core.report.sheet import Exhibit, Exhibits, contact_sheet, thumbnail
from sernet_core.report.video import OverlayVideo

__all__ = [
    "Exhibit",
    "Exhibits",
    "OverlayVideo",
    "RankedExhibits",
    "contact_sheet",
    "render_page",
    "subject",
    "thumbnail",
]
