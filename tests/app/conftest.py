"""One browser for all tests of the page."""

import pytest
from playwright.sync_api import sync_playwright

from tests.helpers.browser import new_page, start_browser


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        started = start_browser(playwright)
        yield started
        started.close()


@pytest.fixture
def page(browser):
    page = new_page(browser, width=1100)
    yield page
    page.context.close()
