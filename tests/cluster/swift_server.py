"""OpenStack Swift with its S3 interface in one process: ``python swift_server.py FOLDER PORT``.

Objects are files below FOLDER. Users and keys are in FOLDER/users.json, as {"account:user": "key"}; S3 calls
them access key and secret key. Ends with its parent.
"""

import configparser
import ctypes
import json
import os
import signal
import sys
from pathlib import Path

os.fsync = os.fdatasync = lambda descriptor: None  # its data need not outlive the test
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

import eventlet  # noqa: E402

eventlet.monkey_patch()

import eventlet.wsgi  # noqa: E402
import swift.common.utils  # noqa: E402

SERVERS = ("object", "container", "account")
PIPELINE = "catch_errors gatekeeper s3api tempauth bulk slo proxy-server"


def write(path: Path, sections: dict) -> None:
    parser = configparser.RawConfigParser()
    parser.read_dict(sections)
    with path.open("w") as file:
        parser.write(file)


def configure(folder: Path, port: int) -> None:
    (folder / "devices" / "disk").mkdir(parents=True, exist_ok=True)
    write(folder / "swift.conf", {"swift-hash": {"swift_hash_path_suffix": "tests"}})
    common = {"swift_dir": folder, "devices": folder / "devices", "mount_check": "false", "bind_ip": "127.0.0.1"}
    for name in SERVERS:
        app = {"use": f"egg:swift#{name}", **common}
        write(folder / f"{name}.conf", {"DEFAULT": common, "pipeline:main": {"pipeline": f"{name}-server"},
                                        f"app:{name}-server": app})  # fmt: skip
    users = json.loads((folder / "users.json").read_text())
    filters = {f"filter:{name}": {"use": f"egg:swift#{name}"} for name in PIPELINE.split()[:-1]}
    filters["filter:s3api"] |= {"s3_acl": "false", "location": "us-east-1", "storage_domain": "localhost"}
    for user, key in users.items():
        filters["filter:tempauth"]["user_" + user.replace(":", "_")] = f"{key} .admin"
    proxy = {"use": "egg:swift#proxy", "account_autocreate": "true", **common}
    write(folder / "proxy.conf", {"DEFAULT": common | {"bind_port": port}, "pipeline:main": {"pipeline": PIPELINE},
                                  "app:proxy-server": proxy, **filters})  # fmt: skip


def rings(folder: Path, ports: dict[str, int]) -> None:
    from swift.common.ring import RingBuilder

    for name, port in ports.items():
        builder = RingBuilder(2, 1, 1)
        builder.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "disk", "weight": 1.0})
        builder.rebalance()
        builder.get_ring().save(str(folder / f"{name}.ring.gz"))


def main(folder: Path, port: int) -> None:
    os.umask(0o077)
    swift.common.utils.SWIFT_CONF_FILE = str(folder / "swift.conf")
    configure(folder, port)
    from swift.common.wsgi import loadapp

    sockets = {name: eventlet.listen(("127.0.0.1", 0)) for name in SERVERS}
    rings(folder, {name: socket.getsockname()[1] for name, socket in sockets.items()})
    sockets["proxy"] = eventlet.listen(("127.0.0.1", port))
    log = (folder / "log").open("a", buffering=1)
    threads = [
        eventlet.spawn(eventlet.wsgi.server, socket, loadapp(str(folder / f"{name}.conf")), log, keepalive=True)
        for name, socket in sockets.items()
    ]
    for thread in threads:
        thread.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
