"""A service that says what it saw of a request, and waits where a scenario wants it to.

It runs in the process of the suite, which has its queues: `told` is what pages send, `asked` names the requests that
wait, and `go` lets one of them go on.
"""

import base64
import hashlib
import json
import queue
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = """<!doctype html><title>page</title><script>
const heard = (source, event) => new Promise((resolve, reject) => {
  source.addEventListener(event, ({ data }) => resolve(data))
  source.addEventListener('error', () => reject(new Error(`no ${event}`)))
})
async function look() {
  const seen = await (await fetch('/public/echo', { method: 'POST', body: 'from a page' })).json()
  const entries = performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/public/echo'))
  const source = new EventSource('/public/once')
  const event = await heard(source, 'message')
  source.close()
  const socket = new WebSocket(location.origin.replace('http', 'ws') + '/public/socket')
  await heard(socket, 'open')
  socket.send('hello')
  const said = await heard(socket, 'message')
  const closed = heard(socket, 'close')
  socket.close()
  await closed
  return { protocol: entries[0].nextHopProtocol, length: seen.length, event, said }
}
look().catch((error) => ({ error: String(error) })).then((result) =>
  fetch('/public/told', { method: 'POST', body: JSON.stringify(result) }))
</script>"""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        """The whole body and its trailers."""
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0))), {}
        pieces = []
        while length := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(length))
            self.rfile.readline()
        trailers = {}
        while line := self.rfile.readline().strip():
            name, value = line.decode().split(":", 1)
            trailers[name.lower()] = value.strip()
        return b"".join(pieces), trailers

    def head(self, kind, *fields):
        self.send_response(200)
        self.send_header("content-type", kind)
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()

    def say(self, kind, body, *fields):
        self.head(kind, ("content-length", str(len(body))), *fields)
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def answer(self):
        body, trailers = self.body()
        match self.path.split("?")[0]:
            case "/public/page":
                self.say("text/html", PAGE.encode())
            case "/public/told":
                self.server.told.put(json.loads(body))
                self.say("text/plain", b"")
            case "/public/once":
                self.say("text/event-stream", b"data: event\n\n")
            case "/public/events":
                self.head("text/event-stream", ("transfer-encoding", "chunked"))
                for number in range(3):
                    self.chunk(b"data: %d\n\n" % number)
                    self.server.go.get()
                self.chunk(b"")
            case "/public/slow":
                self.server.asked.put(self.path)
                self.server.go.get()
                self.say("text/plain", b"done")
            case "/public/trailers":
                self.head("text/plain", ("transfer-encoding", "chunked"), ("trailer", "x-checksum"))
                self.chunk(b"body")
                self.wfile.write(b"0\r\nx-checksum: 7\r\nx-siwx-address: evil\r\n\r\n")
            case "/public/socket":
                self.talk()
            case _:
                fields = {}
                for name, value in self.headers.items():
                    fields.setdefault(name.lower(), []).append(value)
                seen = {
                    **{"method": self.command, "path": self.path, "headers": fields, "trailers": trailers},
                    **{"length": len(body), "sha256": hashlib.sha256(body).hexdigest()},
                }
                self.say("application/json", json.dumps(seen).encode(), ("x-echo", "1"))

    def talk(self):
        """A WebSocket that says back what is short."""
        key = self.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "upgrade")
        self.send_header("sec-websocket-accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        while head := self.rfile.read(2):
            length, mask = head[1] & 0x7F, self.rfile.read(4)
            payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.rfile.read(length)))
            self.wfile.write(struct.pack("!BB", head[0], length) + payload)
            if head[0] & 0x0F == 8:
                return

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


def start():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.told, server.asked, server.go = queue.Queue(), queue.Queue(), queue.Queue()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
