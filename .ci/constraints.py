"""Print constraints.txt anew: the newest versions that go together, of all dependencies and users' extras."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = "report,train,timm,lite,onnx,ray,s3,metrics"

head = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("#")]
with tempfile.TemporaryDirectory() as folder:
    report = Path(folder, "report.json")
    resolve = ["install", "--quiet", "--dry-run", "--ignore-installed", "--report", str(report)]
    subprocess.run([sys.executable, "-m", "pip", *resolve, f"{ROOT}[{EXTRAS}]"], check=True)
    found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
pins = [f"{item['name'].lower().replace('_', '-')}=={item['version']}" for item in found]
print("\n".join([*head, *sorted(pin for pin in pins if not pin.startswith("codecproof=="))]))
