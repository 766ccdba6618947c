"""Use the page as a person does: open it, paint with the mouse, press its buttons."""

import time

from playwright.sync_api import Page

BUSY = ".wrap.generating, .wrap.translucent, .progress-text"

# Hold back each close of Gradio's stream of results until another event was answered.
LATE_CLOSES = """
(() => {
  const send = window.fetch;
  let answered = () => {};
  const late = () => new TransformStream({
    async transform(part, out) {
      const [before, ...close] = part.split(/(?=data: \\{"msg":"close_stream")/);
      if (before) out.enqueue(before);
      if (!close.length) return;
      await new Promise((go) => { answered = () => setTimeout(go, 100); });
      window.lateCloses = (window.lateCloses ?? 0) + 1;
      out.enqueue(close.join(""));
    },
  });
  window.fetch = async (request, options) => {
    const answer = await send(request, options);
    const url = request.url ?? request;
    if (url.includes("/queue/join")) answered();
    if (!url.includes("/queue/data")) return answer;
    const body = answer.body.pipeThrough(new TextDecoderStream()).pipeThrough(late());
    return new Response(body.pipeThrough(new TextEncoderStream()), answer);
  };
})();
"""


def read_closes_late(page: Page) -> None:
    """Let a page behave as on a busy machine, where it reads the close of a stream after later answers."""
    page.add_init_script(LATE_CLOSES)


def open_page(page: Page, url: str, *, entries: int) -> None:
    """Open the page and wait until the list has its entries and the editor an image."""
    page.goto(url)
    page.wait_for_selector("#editor canvas")
    page.wait_for_function(f"document.querySelectorAll('#list img').length == {entries}")
    page.wait_for_selector("#state strong")
    settle(page)


def settle(page: Page) -> None:
    """Wait until no component waits for the server, and the editor looks the same twice in a row."""
    page.wait_for_timeout(150)
    page.wait_for_function(f"!document.querySelector('{BUSY}')")
    before, ends = b"", time.monotonic() + 90
    while time.monotonic() < ends:
        page.wait_for_timeout(200)
        seen = page.locator("#editor").screenshot()
        if seen == before:
            return
        before = seen
    raise AssertionError("the editor does not come to rest")


def shown(page: Page) -> str:
    """Return the name of the opened image."""
    return page.locator("#state strong").inner_text()


def paint(page: Page, centre: tuple[int, int], size: tuple[int, int], radius: int = 12) -> None:
    """Paint a blob with the mouse: one stroke of the brush, back and forth.

    A browser without a graphics card draws the editor anew after every event of the mouse, so there are few.

    Args:
        page: the page.
        centre: row and column in the image.
        size: rows and columns of the image.
        radius: of the blob, in pixels of the image.
    """
    box = page.locator("#editor canvas").first.bounding_box()
    # The image is drawn in the middle of the canvas; find its scale by the zoom that the editor shows.
    scale = float(page.locator("#editor").get_by_text("%").first.inner_text().rstrip("%")) / 100
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def at(y: float, x: float) -> tuple[float, float]:
        return middle[0] + (x - size[1] / 2) * scale, middle[1] + (y - size[0] / 2) * scale

    rows = range(-radius, radius + 1, max(1, radius // 2))
    page.mouse.move(*at(centre[0] - radius, centre[1] - radius))
    page.mouse.down()
    for number, dy in enumerate(rows):
        side = radius if number % 2 == 0 else -radius
        page.mouse.move(*at(centre[0] + dy, centre[1] - side))
        page.mouse.move(*at(centre[0] + dy, centre[1] + side))
    page.mouse.up()
    page.wait_for_timeout(200)


def press(page: Page, button: str, done: str) -> None:
    """Press a button until a JavaScript condition holds: while the image is being drawn, the page asks to wait."""
    for _ in range(40):
        page.click(button)
        ends = time.monotonic() + 3
        while time.monotonic() < ends:
            if page.evaluate(done):
                return
            page.wait_for_timeout(50)
    raise AssertionError(page.locator("#state").inner_text())


def confirm(page: Page) -> None:
    """Press Confirm until the image is confirmed."""
    press(page, "#confirm", "document.querySelector('#state').innerText.includes('confirmed')")
