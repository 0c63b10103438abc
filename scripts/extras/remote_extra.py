"""`zest_jax[remote]`: a model behind an HTTP address is signed."""

import http.server
import json
import sys
import threading

import numpy as np

from zest_jax.cli.main import main


class Model(http.server.BaseHTTPRequestHandler):
    """Answers with the mean of every quarter of every image."""

    def do_POST(self):
        inputs = np.array(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"])
        quarters = inputs.reshape(len(inputs), 4, -1).mean(-1)
        body = json.dumps({"scores": quarters.tolist()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=server.serve_forever, daemon=True).start()
templates = ["--request", '{"inputs": "$inputs"}', "--answer", '{"scores": "$outputs"}', "--budget", "1000"]
url = f"http://127.0.0.1:{server.server_address[1]}/"
sys.exit(main(["sign", url, "--probes", "probes.npz", "-o", "remote.sig", *templates]))
