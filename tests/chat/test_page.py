"""The page in a browser, against the application as it is served: two people in two windows."""

import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.resources import files
from typing import Any, Literal

import pytest

from tests.chat.relay import Relay
from tests.chat.server import Server, serving
from tests.process import PATIENCE, free_port

pytest.importorskip("playwright", reason="needs playwright, of the group dev")
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORDS = {"alice": "wonderland", "bob": "builder"}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

# What a browser itself writes when a server is away or refuses.
EXPECTED = re.compile(r"WebSocket connection to|status of (401|429)|ERR_CONNECTION|ERR_EMPTY_RESPONSE")

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Window:
    """What one person sees and does."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.title = page.get_by_role("heading", level=1)
        self.facts = page.locator("#subtitle")
        self.messages = page.locator("#messages .text")
        self.pending = page.locator("#messages .queued, #messages .sending")
        self.composer = page.get_by_label("Message to")
        self.note = page.locator("#composer .note")
        self.rooms = page.locator("#rooms li")
        self.people = page.locator("#people li")
        self.banner = page.locator("#banner")
        self.errors: list[str] = []
        page.on("console", lambda line: self._heard(line.type, line.text))
        page.on("pageerror", lambda error: self._heard("error", str(error)))

    def log_in(self, name: str, password: str | None = None) -> None:
        self.page.get_by_label("Name", exact=True).fill(name)
        self.page.get_by_label("Password").fill(PASSWORDS[name] if password is None else password)
        self.page.get_by_role("button", name="Log in", exact=True).click()

    def say(self, text: str) -> None:
        self.composer.fill(text)
        self.composer.press("Enter")

    def shows(self, *texts: str) -> None:
        """Exactly these messages, delivered."""
        expect(self.messages).to_have_text(list(texts))
        expect(self.pending).to_have_count(0)

    def join(self, room: str) -> None:
        field = self.page.get_by_label("Join a room")
        field.fill(room)
        field.press("Enter")

    def status(self, value: str) -> None:
        self.page.get_by_label("Your status").select_option(value)

    def is_accessible(self) -> None:
        """Axe finds nothing to complain about on the page as it is."""
        self.page.evaluate(AXE)
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []

    def _heard(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not EXPECTED.search(text):
            self.errors.append(text)


@contextmanager
def opened(
    browser: Browser, url: str, device: dict[str, Any] = DESKTOP, scheme: Literal["light", "dark"] = "light"
) -> Iterator[Window]:
    """A window of its own, with nothing in its console at the end."""
    context = browser.new_context(**device, color_scheme=scheme, reduced_motion="reduce")
    window = Window(context.new_page())
    window.page.set_default_timeout(PATIENCE * 1000)
    window.page.goto(url)
    yield window
    assert window.errors == []
    context.close()


@contextmanager
def two(browser: Browser, server: Server, **options: Any) -> Iterator[tuple[Window, Window]]:
    """Alice and Bob, in the room where everybody begins."""
    with opened(browser, server.http, **options) as alice, opened(browser, server.http, **options) as bob:
        alice.log_in("alice")
        expect(alice.facts).to_have_text("only you are here")
        bob.log_in("bob")
        for window in (alice, bob):
            expect(window.title).to_have_text("#general")
            expect(window.facts).to_have_text("2 members")
        yield alice, bob


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as server:
        yield server
        server.stop()
        assert "Traceback" not in server.log


def test_a_wrong_password_is_told_and_the_right_one_logs_in(browser: Browser, server: Server) -> None:
    with opened(browser, server.http) as window:
        window.is_accessible()
        window.log_in("alice", "rabbit")
        expect(window.page.get_by_role("alert").first).to_have_text("This name and password do not match.")
        expect(window.page.get_by_label("Password")).to_be_focused()
        window.is_accessible()
        window.log_in("alice")
        expect(window.composer).to_be_focused()
        expect(window.page.locator("#indicator")).to_have_text("Connected")


def test_two_people_talk_whisper_and_see_how_they_are(browser: Browser, server: Server) -> None:
    with two(browser, server) as (alice, bob):
        for window in (alice, bob):
            window.join("tea")
            expect(window.title).to_have_text("#tea")
        expect(alice.facts).to_have_text("2 members")
        alice.say("That was a damn fine cup, <b>Bob</b>.")
        for window in (alice, bob):
            window.shows("That was a **** fine cup, <b>Bob</b>.")

        # Bob looks elsewhere, and is told what he misses.
        bob.rooms.nth(0).get_by_role("button").click()
        alice.say("More?")
        alice.say("Anyone?")
        expect(bob.rooms.nth(1).locator(".badge")).to_have_text("2")
        expect(bob.page).to_have_title("(2) #general · Chat")
        bob.rooms.nth(1).get_by_role("button").click()
        expect(bob.page.locator(".marker")).to_have_text("New messages")
        expect(bob.page).to_have_title("#tea · Chat")
        bob.is_accessible()

        # In private, from the list of members; censored too.
        alice.page.get_by_role("button", name="bob").click()
        expect(alice.title).to_have_text("bob")
        alice.say("The crap tea is mine.")
        bob.people.get_by_role("button").click()
        bob.shows("The **** tea is mine.")
        bob.status("busy")
        expect(alice.facts).to_have_text("busy")
        alice.is_accessible()
        bob.is_accessible()

        # Bob goes.
        bob.page.get_by_role("button", name="Log out").click()
        expect(bob.page.get_by_role("heading")).to_have_text("Log in to Chat")
        alice.say("Are you there?")
        expect(alice.page.locator(".failed .fate")).to_contain_text("this person is not connected")
        alice.is_accessible()
        alice.page.get_by_role("button", name="Discard").click()
        alice.rooms.nth(1).get_by_role("button").click()
        expect(alice.facts).to_have_text("only you are here")


def test_it_works_at_the_width_of_a_phone_and_in_the_dark(browser: Browser, server: Server) -> None:
    with two(browser, server, device=PHONE, scheme="dark") as (alice, bob):
        alice.say("Mind the stairs.")
        expect(bob.messages.last).to_have_text("Mind the stairs.")
        bob.page.get_by_role("button", name="Conversations").tap()
        bob.is_accessible()
        bob.join("cellar")
        expect(bob.title).to_have_text("#cellar")
        expect(bob.page.locator("#sidebar")).to_be_hidden()
        alice.say("And the cat.")
        expect(bob.page.locator("#elsewhere")).to_have_text("1")
        bob.page.get_by_role("button", name="Conversations").tap()
        bob.rooms.nth(0).get_by_role("button").tap()
        expect(bob.messages.last).to_have_text("And the cat.")
        bob.page.get_by_role("button", name="Members").tap()
        expect(bob.page.locator("#member-list li")).to_have_count(2)
        bob.is_accessible()
        bob.page.keyboard.press("Escape")
        width = bob.page.evaluate("document.documentElement.scrollWidth")
        assert width == PHONE["viewport"]["width"], "the page scrolls sideways"
        bob.is_accessible()


def test_it_works_by_keyboard_alone(browser: Browser, server: Server) -> None:
    with opened(browser, server.http) as window:
        keys = window.page.keyboard
        keys.type("alice")
        keys.press("Tab")
        keys.type(PASSWORDS["alice"])
        keys.press("Enter")
        expect(window.composer).to_be_focused()
        keys.type("one line")
        keys.press("Shift+Enter")
        keys.type("and another")
        keys.press("Enter")
        expect(window.messages.last).to_have_text("one line and another")
        _tab_to(window, window.page.get_by_label("Join a room"))
        keys.type("#Keys ")
        keys.press("Enter")
        expect(window.title).to_have_text("#keys")
        expect(window.composer).to_be_focused()


def _tab_to(window: Window, target: Locator) -> None:
    for _ in range(30):
        window.page.keyboard.press("Tab")
        if target.evaluate("node => node === document.activeElement"):
            return
    raise AssertionError("Tab never comes there.")


def test_after_a_cut_connection_everything_missed_is_filled_in_and_nothing_doubled(browser: Browser) -> None:
    port = free_port()
    with closing(Relay(port)) as relay:
        straight, relayed = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{relay.port}"
        with (
            serving(port=port, origins=f"{straight},{relayed}"),
            opened(browser, straight) as alice,
            opened(browser, relayed) as bob,
        ):
            alice.log_in("alice")
            bob.log_in("bob")
            expect(alice.facts).to_have_text("2 members")
            alice.say("one")
            bob.shows("one")
            relay.cut()
            expect(bob.banner).to_contain_text("The connection is lost.")
            expect(alice.facts).to_have_text("only you are here")
            bob.is_accessible()
            bob.say("written while away")
            for text in ("two", "three"):
                alice.say(text)
            alice.shows("one", "two", "three")
            relay.mend()
            with suppress(PlaywrightTimeoutError):  # the page may have come back by itself already
                bob.page.get_by_role("button", name="Try now").click(timeout=2000)
            for window in (alice, bob):
                window.shows("one", "two", "three", "written while away")
            expect(bob.banner).to_be_hidden()
            expect(bob.page.locator(".gap")).to_have_count(0)
            bob.page.reload()
            bob.shows("one", "two", "three", "written while away")


@pytest.mark.parametrize("gently", [True, False])
def test_a_restarted_server_finds_both_again_and_the_page_hides_no_gap(
    browser: Browser, gently: bool
) -> None:
    with serving() as server, two(browser, server) as (alice, bob):
        alice.say("before")
        bob.shows("before")
        server.stop(signal.SIGTERM if gently else signal.SIGKILL)
        for name, window in (("alice", alice), ("bob", bob)):
            expect(window.banner).to_contain_text("The connection is lost.")
            window.say(f"written while away by {name}")
        server.start()
        for window in (alice, bob):
            if not gently:
                # As where the network comes back; a server that says goodbye is looked for in time anyway.
                window.page.evaluate("dispatchEvent(new Event('online'))")
            expect(window.banner).to_be_hidden()
            expect(window.pending).to_have_count(0)
            expect(window.messages.first).to_have_text("before")
            # The history was the old process's; what was said last to it may be lost, and that is not hidden.
            expect(window.page.locator(".gap")).to_have_text("Some messages may be missing here")
        alice.say("after")
        for window in (alice, bob):
            expect(window.messages.last).to_have_text("after")
            # Whoever of the two came first, the other one has fetched what was said before.
            expect(window.messages).to_have_count(4)
            for name in ("alice", "bob"):
                expect(window.messages.filter(has_text=f"written while away by {name}")).to_have_count(1)
        alice.is_accessible()


def test_a_session_that_runs_out_leads_to_the_login_and_back(browser: Browser) -> None:
    with serving(token_seconds=3) as server, opened(browser, server.http) as window:
        window.log_in("alice")
        window.say("I expire")
        window.shows("I expire")
        window.composer.fill("a draft")
        expect(window.page.locator("#login-error")).to_have_text("Your session has ended. Log in again.")
        expect(window.page.get_by_label("Password")).to_be_focused()
        window.is_accessible()
        window.log_in("alice")
        window.shows("I expire")
        expect(window.composer).to_have_value("a draft")


def test_who_writes_too_fast_sees_how_long_it_takes_and_loses_nothing(browser: Browser) -> None:
    with serving(rate=1, burst=3) as server, two(browser, server) as (alice, bob):
        texts = [f"number {number}" for number in range(5)]
        for text in texts:
            alice.say(text)
        expect(alice.note).to_contain_text("You are sending too fast. The next message goes out in 1 s")
        alice.is_accessible()
        for window in (alice, bob):
            window.shows(*texts)
        expect(alice.note).not_to_contain_text("too fast")


def test_one_window_too_many_says_so_and_can_try_again(browser: Browser) -> None:
    with serving(connections_per_user=1) as server, opened(browser, server.http) as second:
        with opened(browser, server.http) as first:
            first.log_in("alice")
            expect(first.facts).to_have_text("only you are here")
            second.log_in("alice")
            expect(second.banner).to_contain_text("You have too many connections open.")
            expect(second.page.locator("#empty")).to_have_text("You are not in this room now.")
            second.is_accessible()
        second.page.get_by_role("button", name="Connect again").click()
        expect(second.facts).to_have_text("only you are here")
        expect(second.banner).to_be_hidden()
