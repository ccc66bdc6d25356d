"""A browser for the pages: Chromium without a window and without a network, driven through its DevTools."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0"]
OPTIONS += ["--disable-background-networking", "--disable-component-update", "--remote-allow-origins=*"]
OFFLINE = ["--host-resolver-rules=MAP * ~NOTFOUND"]
SECONDS = 120
LOCAL = ("file:", "data:", "blob:", "about:")
AUDIT = (Path(__file__).parent / "audit.js").read_text("utf-8")


class Browser:
    """One page of a browser.

    Attributes:
        complaints: errors on the console, and addresses outside the page that it asked for, since it was opened.
    """

    def __init__(self, folder):
        import websocket

        command = [CHROMIUM, *OPTIONS, *OFFLINE, f"--user-data-dir={folder}", "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = folder / "DevToolsActivePort"
        until = time.monotonic() + SECONDS
        while not (port.exists() and port.read_text().count("\n")):
            assert time.monotonic() < until and self.process.poll() is None, "Chromium didn't start"
            time.sleep(0.05)
        number, path = port.read_text().splitlines()
        self.socket = websocket.create_connection(f"ws://127.0.0.1:{number}{path}", timeout=SECONDS)
        self.number, self.session, self.events = 0, "", []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        """Return what a command of the DevTools protocol answers."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        self.socket.send(json.dumps(message | ({"sessionId": self.session} if self.session else {})))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def wait(self, event):
        """Wait until an event has come."""
        while not any(found.get("method") == event for found in self.events):
            self.events.append(json.loads(self.socket.recv()))

    def open(self, path, width=1200, dark=False):
        """Open a file in a window so wide, light or dark."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        self.wait("Page.loadEventFired")
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def run(self, script):
        """Return what an expression of JavaScript gives, awaited."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key):
        """Press a key, and let it go."""
        codes = {"Tab": 9, "ArrowRight": 39, "Enter": 13}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=codes[key], **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=codes[key])

    @property
    def complaints(self):
        found = []
        for event in self.events:
            method, params = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(params["exceptionDetails"]["text"])
            elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                found.append(str(params["args"]))
            elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
                found.append(params["entry"]["text"])
            elif method == "Network.requestWillBeSent" and not params["request"]["url"].startswith(LOCAL):
                found.append(f"asked for {params['request']['url']}")
        return found

    def audit(self):
        """Return what is wrong with the page for somebody who reads it: see audit.js."""
        return [*self.complaints, *self.run(AUDIT)]

    def picture(self, path):
        """Write a picture of the whole page."""
        import base64

        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        found = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A browser; where none is installed, a test that needs it is skipped."""
    if not CHROMIUM:
        pytest.skip("no Chromium here: `apt-get install chromium`, or Chrome, runs the tests of pages")
    found = Browser(tmp_path_factory.mktemp("browser"))
    yield found
    found.close()
