"""A strict stand-in for a service manager, for one program: it opens the program's sockets, hands
them over, takes its notifications, and tells of each in one line of JSON on standard output.

    service_manager.py OPTIONS COMMAND...

OPTIONS is JSON: "notify" (a path, or @name for an abstract socket), "sockets" (a list of
[name, kind, address], kind "tcp", "tcp-blocking", "udp" or "unix"), "listen_pid" (in place of the
program's own), "environment". The program's standard error is passed on. Standard input asks for a
signal, by its name.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

options = json.loads(sys.argv[1])
command = sys.argv[2:]
FIRST = 3

lock = threading.Lock()


def tell(**fields):
    with lock:
        print(json.dumps({**fields, "at": time.monotonic_ns() // 1000}), flush=True)


def opened(kind, address):
    if kind == "unix":
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.bind(address)
        made.listen()
    elif kind == "udp":
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, 0))
    else:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = socket.create_server((address, 0), family=family, dualstack_ipv6=address == "::")
    made.setblocking(kind == "tcp-blocking")
    return made


notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
path = options["notify"]
notify.bind("\0" + path[1:] if path.startswith("@") else path)

named = [(name, opened(kind, address)) for name, kind, address in options.get("sockets", [])]
ports = [made.getsockname()[1] for _, made in named if made.family != socket.AF_UNIX]

environment = {**options.get("environment", {}), "NOTIFY_SOCKET": path}
if named:
    environment["LISTEN_FDS"] = str(len(named))
    if any(name for name, _ in named):
        environment["LISTEN_FDNAMES"] = ":".join(name for name, _ in named)


def in_child():
    # Out of the way first: a descriptor may lie where another is to go.
    high = [os.dup2(made.fileno(), 100 + i) for i, (_, made) in enumerate(named)]
    for i, descriptor in enumerate(high):
        os.dup2(descriptor, FIRST + i)
        os.close(descriptor)


listen_pid = options.get("listen_pid", "$$")
program = subprocess.Popen(
    # The process that becomes the program knows its own id.
    ["/bin/sh", "-c", f'LISTEN_PID={listen_pid} exec "$0" "$@"', *command],
    env=environment,
    preexec_fn=in_child,
    close_fds=False,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
)
for _, made in named:
    made.close()
tell(pid=program.pid, ports=ports)


def signals():
    for line in sys.stdin:
        if program.poll() is None:
            tell(signal=line.strip())
            program.send_signal(getattr(signal, line.strip()))


def notifications():
    size = socket.CMSG_SPACE(struct.calcsize("3i"))
    while True:
        text, ancillary, _, _ = notify.recvmsg(65536, size)
        sender = struct.unpack("3i", ancillary[0][2])[0] if ancillary else 0
        tell(sender=sender, text=text.decode())


for work in (signals, notifications):
    threading.Thread(target=work, daemon=True).start()
status = program.wait()
# What it said last is still to be read.
time.sleep(0.1)
tell(ended=status)
