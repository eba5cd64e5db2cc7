"""The documentation site: built without a network, complete, and self-contained."""

import re
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from commands import succeed

import napari_oneshot_lmk

ROOT = Path(__file__).resolve().parent.parent
# mkdocs with every connection refused. Not --quiet: warnings that are not printed are not
# counted, and --strict has no effect.
BUILD = """
import socket, sys
def refused(*_):
    raise OSError("the documentation is built without a network")
socket.socket.connect = socket.socket.connect_ex = refused
socket.getaddrinfo = socket.create_connection = refused
from mkdocs.__main__ import cli
cli(["build", "--strict", "--site-dir", sys.argv[1]])
"""


@dataclass
class Page(HTMLParser):
    """What an HTML page loads, links to and offers as targets."""

    path: Path
    loaded: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        if "src" in found:
            self.loaded.append(found["src"])
        if tag == "link" and found.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.append(found["href"])
        elif "href" in found:
            self.links.append(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the whole site; --strict makes each warning an error."""
    folder = tmp_path_factory.mktemp("site")
    succeed(sys.executable, "-c", BUILD, folder, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def test_pages_load_nothing_from_elsewhere_and_tables_are_tables(pages):
    assert len(pages) > 25
    for path, page in pages.items():
        assert not [a for a in page.loaded if urlsplit(a).netloc], path
        assert "|---" not in path.read_text(encoding="utf-8"), f"{path}: a table that is none"


def test_no_stylesheet_loads_anything_from_elsewhere(site):
    sheets = list(site.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        text = sheet.read_text(encoding="utf-8").replace(" ", "")
        for mark in ("url(http", "url(//", 'url("http', "url('http", "@import"):
            assert mark not in text, f"{sheet.name}: {mark}"


def test_every_internal_link_leads_somewhere(site, pages):
    checked = 0
    for path, page in pages.items():
        if path.name == "404.html":
            # Its links are relative to the root of the site's address.
            continue
        for address in page.links + page.loaded:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            assert target.is_file(), f"{path.relative_to(site)} links to {address}"
            if parts.fragment and target in pages:
                known = pages[target].ids
                assert unquote(parts.fragment) in known, f"{path.name}: {address}"
            checked += 1
    assert checked > 1000


def test_api_pages_show_every_folder_and_every_public_name(site, pages):
    shown = {name for path, page in pages.items() if "api" in path.parts for name in page.ids}
    home = Path(napari_oneshot_lmk.__file__).parent
    folders = {p.parent.name for p in home.glob("*/__init__.py")} - {"widgets", "cli"}
    for folder in folders:
        assert any(name.startswith(f"napari_oneshot_lmk.{folder}.") for name in shown), (
            f"no API page shows {folder}"
        )
    for name in set(napari_oneshot_lmk.__all__) - {"__version__"}:
        value = getattr(napari_oneshot_lmk, name)
        assert f"{value.__module__}.{value.__name__}" in shown


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_link_beside_the_site_leads_to_a_file(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    addresses = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    inside = [a for a in addresses if not urlsplit(a).netloc]
    assert len(inside) >= 2
    for address in inside:
        assert (ROOT / address).exists(), f"{name} links to {address}"


def test_changelog_page_holds_the_changelog(site):
    page = (site / "changelog.html").read_text(encoding="utf-8")
    assert napari_oneshot_lmk.__version__ in page
    assert "Keep a Changelog" in page
