import json
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from tests.helpers.app_server import serve
from tests.helpers.stand_in import bright_disc, save
from universeg_jax.app.server import USER, Gate, gate_for
from universeg_jax.errors import InputError

SECRET = b"nothing that the page may serve"


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    for i in range(3):
        image, mask = bright_disc(i)
        save(root / "task" / "images" / f"s{i}.png", image)
        save(root / "task" / "masks" / f"s{i}.png", mask)
    (root / "secret.txt").write_bytes(SECRET)
    (root / "task" / "secret.txt").write_bytes(SECRET)
    (root / "task" / "link.txt").symlink_to(root / "secret.txt")
    with serve(root / "task") as app:
        yield root, app


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize("route", ["gradio_api/file=", "file=", "gradio_api/file/", "file/", "static/", "assets/"])
def test_no_path_outside_the_page_is_served(places, route):
    root, app = places
    targets = [
        root / "secret.txt",
        root / "task" / "secret.txt",
        root / "task" / "link.txt",
        root / "task" / "masks" / "s0.png",
        root / "task" / ".." / "secret.txt",
        "/etc/passwd",
        "../../../../../../../../etc/passwd",
        app.cache / ".." / root.name / "secret.txt",
    ]
    for target in map(str, targets):
        for path in (target, urllib.parse.quote(target, safe=""), urllib.parse.quote(target).replace("..", "%2e%2e")):
            status, body = get(app.url + route + path)
            assert status >= 400 or (SECRET not in body and b"root:" not in body and b"PNG" not in body[:8]), path


def test_a_path_in_the_payload_of_an_event_is_refused(places):
    root, app = places
    value = {"path": str(root / "secret.txt"), "meta": {"_type": "gradio.FileData"}}
    for function in range(40):
        payload = {"data": [None, {"background": value, "layers": [value], "composite": value}], "fn_index": function}
        request = urllib.request.Request(
            app.url + "gradio_api/run/predict",
            json.dumps({**payload, "session_hash": "x"}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            body = urllib.request.urlopen(request, timeout=30).read()
        except urllib.error.HTTPError as error:
            body = error.read()
        assert SECRET not in body


def upload(app, content, *, name="a.png", field="files"):
    boundary = b"----limit"
    head = f'Content-Disposition: form-data; name="{field}"; filename="{name}"\r\nContent-Type: image/png'.encode()
    body = b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n--" + boundary + b"--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=" + boundary.decode()}
    try:
        with urllib.request.urlopen(urllib.request.Request(app.url + "gradio_api/upload", body, kind)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_only_pictures_up_to_a_size_are_uploaded(places, monkeypatch):
    _, app = places
    picture = (app.workspace.files.image_file("s0")).read_bytes()
    assert upload(app, picture)[0] == 200
    before = sorted(app.cache.rglob("*"))
    for content in (b"<html><script>", b"PK\x03\x04", b"\x80\x04pickle", b"", picture[1:]):
        assert upload(app, content) == (415, b"only PNG pictures may be uploaded")
    monkeypatch.setattr("universeg_jax.app.server.LARGEST", 2 * len(picture))
    assert upload(app, picture * 3)[0] == 413
    assert sorted(app.cache.rglob("*")) == before


def test_an_upload_leaves_no_file_outside_of_the_cache(places):
    root, app = places
    picture = (app.workspace.files.image_file("s0")).read_bytes()
    for name in ("../../evil.png", "..%2f..%2fevil.png", "/etc/evil.png", "..\\evil.png"):
        upload(app, picture, name=name)
    found = [path for place in (root, app.cache.parent) for path in place.glob("*evil*")]
    assert found == []


def test_a_right_password_enters_and_wrong_ones_take_longer_and_longer(monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    gate = Gate("right")
    assert [gate(USER, "wrong") for _ in range(8)] == [False] * 8
    assert not gate("someone", "right")
    assert gate(USER, "right")
    assert waits[:4] == [0.5, 1, 2, 4]
    assert max(waits) == 30
    assert waits[-1] == 0


def test_other_hosts_need_a_password():
    assert gate_for("127.0.0.1", None) is None
    assert len(gate_for("0.0.0.0", None).password) >= 16
    assert gate_for("0.0.0.0", "mine").password == "mine"
    assert gate_for("0.0.0.0", None).password != gate_for("0.0.0.0", None).password
    with pytest.raises(InputError, match="--password is empty"):
        gate_for("127.0.0.1", "")


def test_images_written_for_the_browser_are_removed_at_the_end(tmp_path):
    save(tmp_path / "images" / "a.png", bright_disc(0)[0])
    with serve(tmp_path) as app:
        cache = app.cache
        assert cache.stat().st_mode & 0o077 == 0
    assert not cache.exists()
