"""Leads the vendor's host names to the demo, as /etc/hosts and port 443 would: a CONNECT proxy in this process. TLS stays end to
end, so the client is unmodified and checks the demo's certificate. Imported before the client."""

import json
import os
import socket
import sys
import threading

with open(sys.argv[1], encoding="utf-8") as file:
    _card = json.load(file)
_host, _, _port = _card["address"].rpartition(":")


def _pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    finally:
        target.close()


def _serve(client):
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(4096)
        if not data:
            return client.close()
        head += data
    if not head.startswith(b"CONNECT "):
        return client.close()
    server = socket.create_connection((_host, int(_port)))
    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    threading.Thread(target=_pump, args=(client, server), daemon=True).start()
    _pump(server, client)


def _accept(listener):
    while True:
        client, _ = listener.accept()
        threading.Thread(target=_serve, args=(client,), daemon=True).start()


_listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=_accept, args=(_listener,), daemon=True).start()
_proxy = f"http://127.0.0.1:{_listener.getsockname()[1]}"
os.environ |= {"HTTPS_PROXY": _proxy, "https_proxy": _proxy, "NO_PROXY": "", "no_proxy": "",
               "REQUESTS_CA_BUNDLE": _card["ca_file"], "SSL_CERT_FILE": _card["ca_file"]}
