"""The documented page runs an exported model in a real browser."""

import functools
import json
import queue
import re
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from xiqa.assessment.runtimes.onnx import OnnxRuntime
from xiqa.export import export_model
from xiqa.imaging import read_image
from xiqa.models import load_model
from xiqa.simulation.chest import simulate_chest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "export.md"
#: Tells the server what the page tells its reader, as soon as it does.
WATCH = """<script>
const told = document.getElementById("told");
new MutationObserver(() => fetch("told", { method: "POST", body: told.textContent }))
  .observe(told, { childList: true });
</script>
"""


class Listening(SimpleHTTPRequestHandler):
    """Serves the test's folder on this machine alone, and keeps what the page tells."""

    told = queue.SimpleQueue()

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, *args):
        pass

    def do_POST(self):
        self.told.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()


def onnxruntime_web(folder):
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "onnxruntime-web@1.20.1"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=300,
    )
    for file in (folder / "node_modules" / "onnxruntime-web" / "dist").glob("ort*"):
        if file.name == "ort.min.js" or file.name.startswith("ort-wasm-simd-threaded"):
            shutil.copy(file, folder / file.name)


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("npm"), reason="npm is absent: install nodejs and npm")
@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is absent: apt-get install chromium")
def test_the_documented_page_gives_the_probability_and_the_place(tmp_path):
    model = load_model()
    export_model(model, tmp_path / "model.onnx", method="normgrad_conv1x1:layers=multi")
    radiograph = simulate_chest(5, size=(512, 512)).image.pixels
    Picture.fromarray((radiograph * 255).round().astype(np.uint8)).save(tmp_path / "radiograph.png")
    html = re.search(r"```html\n(.*?)```", PAGE.read_text(), re.DOTALL).group(1)
    (tmp_path / "index.html").write_text(html + WATCH)
    onnxruntime_web(tmp_path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Listening, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}"]
    address = f"http://127.0.0.1:{server.server_port}/index.html"
    browser = subprocess.Popen(
        ["chromium", *options, address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        result = json.loads(Listening.told.get(timeout=300))
    finally:
        browser.terminate()
        browser.wait(60)
        server.shutdown()

    runtime = OnnxRuntime(tmp_path / "model.onnx")
    array, _ = runtime.prepare(read_image(tmp_path / "radiograph.png"))
    inference = runtime.infer(array[None], runtime.resolve(None))
    row, column = np.unravel_index(inference.maps[0].argmax(), inference.maps[0].shape)
    stride = 512 / inference.maps.shape[-1]
    assert result["probability"] == pytest.approx(inference.probabilities[0], abs=0.01)
    assert (result["x"], result["y"]) == pytest.approx(((column + 0.5) * stride, (row + 0.5) * stride), abs=1)
