"""Drives a real Chromium over its debugging pipe, with nothing but the standard library."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
START = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execvp(sys.argv[3], sys.argv[3:])"
SECONDS = 60
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowRight": 39, "ArrowDown": 40}


def find():
    """The path of a Chromium, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One tab of a headless Chromium. `messages`: everything that its console and its errors said."""

    def __init__(self, folder, program=None):
        command, self._from = os.pipe()
        self._to, events = os.pipe()
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]
        flags += [
            "--remote-debugging-pipe",
            "--disable-background-networking",
            f"--user-data-dir={folder}",
            "--hide-scrollbars",
        ]
        starts = [
            sys.executable,
            "-c",
            START,
            str(command),
            str(events),
            program or find(),
            *flags,
            "about:blank",
        ]
        self._process = subprocess.Popen(
            starts, pass_fds=(command, events), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(command)
        os.close(events)
        self._buffer, self._count, self._session = b"", 0, None
        self.messages, self.requested = [], []
        targets = self.send("Target.getTargets")["targetInfos"]
        page = next(t for t in targets if t["type"] == "page")
        self._session = self.send("Target.attachToTarget", targetId=page["targetId"], flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.send("Browser.close")
        except (BrokenPipeError, EOFError):
            pass
        finally:
            os.close(self._from)
            os.close(self._to)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def send(self, method, **params):
        """Call a method of the DevTools protocol; its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session is not None and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._from, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _next(self):
        while b"\0" not in self._buffer:
            more = os.read(self._to, 1 << 16)
            if not more:
                raise EOFError("the browser has ended")
            self._buffer += more
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(text)
        name, params = message.get("method"), message.get("params", {})
        if name == "Runtime.consoleAPICalled":
            self.messages.append(str([a.get("value") for a in params["args"]]))
        elif name == "Runtime.exceptionThrown":
            self.messages.append(str(params["exceptionDetails"]))
        elif name == "Log.entryAdded":
            self.messages.append(params["entry"]["text"])
        elif name == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])
        return message

    def open(self, path, width=1280, height=900, dark=False):
        """Load a file in a window of this size."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Page.navigate", url=Path(path).resolve().as_uri())
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def run(self, code):
        """The value of an expression, awaited where it is a promise."""
        found = self.send(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def wait(self, condition):
        """Until it holds."""
        end = time.monotonic() + SECONDS
        while not self.run(condition):
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.05)

    def press(self, key):
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=KEYS[key],
                **text,
            )

    def type(self, text):
        """Put text into what has the focus."""
        self.send("Input.insertText", text=text)

    def screenshot(self, path, whole=True, clip=None):
        """Save the page, or the window, as PNG."""
        more = {} if clip is None else {"clip": clip}
        data = self.send("Page.captureScreenshot", captureBeyondViewport=whole, **more)["data"]
        Path(path).write_bytes(base64.b64decode(data))
