"""Time of one training step of every method, relative to fine-tuning, on synthetic batches, the methods in turn.

Example: python benchmarks/method_steps.py --arch resnet50 --batch 64 --amp bf16
"""

import argparse
import statistics
import time

import torch
from pictures import machine

from distort.codecs.headers import header_of
from train.engine.distributed import World, device_of
from train.engine.step import PRECISIONS, Stepper
from train.feed.data import Batch
from train.methods import METHODS
from train.methods.base import Context
from train.methods.reads import Mixture
from train.networks import models
from train.networks.teacher import Teacher

#: Name -> method and its options.
WAYS = {
    "finetune": ("finetune", {"column": "jpeg-10"}),
    "expert, cached teacher": ("expert", {"column": "jpeg-10"}),
    "stability": ("stability", {}),
    "batchnorm": ("batchnorm", {"column": "jpeg-10"}),
    "mixture": ("mixture", {"columns": "jpeg-10,jpeg-5"}),
    "consistency": ("consistency", {"columns": "jpeg-10,jpeg-5"}),
    "consistency --rmb": ("consistency", {"columns": "jpeg-10,jpeg-5", "rmb": True}),
    "augment --layers last:1": ("augment", {"columns": "jpeg-10,jpeg-5", "layers": "last:1"}),
    "deepcloak": ("deepcloak", {"column": "jpeg-10"}),
    "conditioned": ("conditioned", {"columns": "jpeg-10,jpeg-5"}),
    "conditioned --form blend": ("conditioned", {"columns": "jpeg-10,jpeg-5", "form": "blend"}),
    "progressive": ("progressive", {"columns": "jpeg-10,jpeg-5"}),
    "augmix": ("augmix", {}),
    "pretransform --width 16": ("pretransform", {"width": 16, "reconstruct": 0}),
}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--arch", default="lite0")
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--side", type=int, default=224)
parser.add_argument("--amp", choices=list(PRECISIONS), default="none")
parser.add_argument("--rounds", type=int, default=5)
options = parser.parse_args()
world = World(0, 1, device_of("auto", 0))
cuda = world.device.type == "cuda"
# On a CPU, the CPU time of the process: other programs on the machine disturb it little.
clock = time.perf_counter if cuda else time.process_time


def batch_for(method, teacher: Teacher) -> Batch:
    """Random pictures of everything that the method reads."""
    numbers = torch.Generator().manual_seed(0)
    shape = (options.batch, options.side, options.side, 3)
    images, drawn, headers = {}, {}, {}
    for part in method.reads().pictures:
        images[str(part)] = torch.randint(0, 256, shape, dtype=torch.uint8, generator=numbers)
        if isinstance(part, Mixture):
            drawn[part.name] = torch.arange(options.batch) % len(part.columns)
            headers[part.name] = [header_of(part.columns[i]) for i in drawn[part.name].tolist()]
    labels = torch.randint(0, 1000, (options.batch,), generator=numbers)
    places = torch.zeros(options.batch, 2, dtype=torch.int64)
    scores = teacher.log_probs(next(iter(images.values()))) if method.reads().teacher else None
    return Batch(images, labels, [""] * options.batch, places, scores, drawn, headers).to(world.device)


def seconds(stepper: Stepper, batch: Batch) -> float:
    if cuda:
        torch.cuda.synchronize()
    start = clock()
    stepper.step(iter([batch]))
    if cuda:
        torch.cuda.synchronize()
    return clock() - start


def main() -> None:
    name = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{machine()}; torch {torch.__version__}; {name}; {options.arch}, {options.batch} of {options.side} pixels"
    )
    teacher = Teacher(models.build(options.arch, 1000), world.device)
    ways, taken = {}, {way: [] for way in WAYS}
    for way, (method, chosen) in WAYS.items():
        kind = METHODS.load(method)
        own = kind(kind.Options(**chosen), Context(options.arch, batch=options.batch))
        network = models.build(options.arch, 1000)
        own.check(network)
        ways[way] = Stepper(network, own, world, lr=1e-5, amp=options.amp), batch_for(own, teacher)
    for number in range(options.rounds + 1):
        for way, (stepper, batch) in ways.items():
            time_taken = seconds(stepper, batch)
            if number:  # the first one allocates
                taken[way].append(time_taken)
    base = taken["finetune"]
    for way, times in taken.items():
        ratio = statistics.median(own / other for own, other in zip(times, base, strict=True))
        print(f"  {way:26} {1000 * statistics.median(times):8.1f} ms   {ratio:5.2f} x fine-tuning")


if __name__ == "__main__":
    main()
