"""What a cached teacher costs per step, and whether shards keep a network fed.

Always: time of an expert step with cached teacher against a fine-tuning step and an expert step with a live
teacher, the ways taken in turn. With --dataset: images/s of training from its shards against training on one
synthetic batch over and over. On a GPU both are also done with torch.compile, and peak memory is shown.

Example: python benchmarks/train_step.py --arch resnet50 --batch 256 --amp bf16 --dataset data/train --workers 14
"""

import argparse
import statistics
import time

import torch
from pictures import machine, record

from shards.dataset import Dataset
from train.engine.distributed import World, device_of
from train.engine.step import PRECISIONS, Stepper
from train.feed import slices
from train.feed.data import Batch, Source, Stream
from train.feed.reading import survey
from train.feed.workers import batches
from train.methods.base import Context
from train.methods.expert import Expert
from train.methods.finetune import FineTuning
from train.methods.reads import CLEAN
from train.networks import models
from train.networks.teacher import Teacher

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--arch", default="mnasnet1_0")
parser.add_argument("--classes", type=int, default=1000)
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--amp", choices=list(PRECISIONS), default="none")
parser.add_argument("--rounds", type=int, default=20)
parser.add_argument("--dataset")
parser.add_argument("--column", default="jpeg-10")
parser.add_argument("--workers", type=int, default=2)
parser.add_argument("--steps", type=int, default=50, help="of the comparison with synthetic batches")
options = parser.parse_args()

world = World(0, 1, device_of("auto", 0))
cuda = world.device.type == "cuda"
setting = f"{'GPU' if cuda else 'CPU'}, {options.arch}"


def synthetic(teacher: Teacher | None = None) -> Batch:
    numbers = torch.Generator().manual_seed(0)
    shape = (options.batch, 224, 224, 3)
    images = {
        name: torch.randint(0, 256, shape, dtype=torch.uint8, generator=numbers)
        for name in (options.column, CLEAN)
    }
    labels = torch.randint(0, options.classes, (options.batch,), generator=numbers)
    batch = Batch(images, labels, [""] * options.batch, torch.zeros(options.batch, 2)).to(world.device)
    return batch._replace(teacher=teacher.log_probs(batch.images[CLEAN])) if teacher else batch


def stepper(method, compile=False, teacher=None) -> Stepper:
    torch.manual_seed(0)
    own = method(method.Options(options.column), Context(options.arch))
    network = models.build(options.arch, options.classes)
    return Stepper(network, own, world, lr=1e-5, amp=options.amp, compile=compile, teacher=teacher)


def seconds(run, clock=time.perf_counter) -> float:
    if cuda:
        torch.cuda.synchronize()
    start = clock()
    run()
    if cuda:
        torch.cuda.synchronize()
    return clock() - start


def compare_steps() -> None:
    torch.manual_seed(0)
    teacher = Teacher(models.build(options.arch, options.classes), world.device)
    ways = {
        "fine-tuning": (stepper(FineTuning), synthetic()),
        "expert, cached teacher": (stepper(Expert), synthetic(teacher)),
        "expert, live teacher": (stepper(Expert, teacher=teacher), synthetic()),
    }
    taken = {name: [] for name in ways}
    # On a CPU, the CPU time of the process: other programs on the machine disturb it little.
    clock = time.perf_counter if cuda else time.process_time
    for number in range(options.rounds + 2):
        for name, (one, batch) in ways.items():
            time_taken = seconds(lambda one=one, batch=batch: one.step(iter([batch])), clock)
            if number >= 2:  # the first ones allocate
                taken[name].append(time_taken)
    print(f"one step of {options.batch} pictures, {options.rounds} rounds in turn")
    for name, times in taken.items():
        ratios = [t / f for t, f in zip(times, taken["fine-tuning"], strict=True)]
        took = 1000 * statistics.median(times)
        print(f"  {name:24} {took:8.1f} ms   {statistics.median(ratios):.3f} x fine-tuning")
        if name != "fine-tuning":
            target = 1.02 if "cached" in name else None
            record(f"step, {setting}: {name} / fine-tuning", ratios, target, higher=False)


def compare_feeding(compile: bool) -> None:
    one = stepper(FineTuning, compile)
    batch = synthetic()

    def from_memory():
        for _ in range(options.steps):
            one.step(iter([batch]))

    dataset = Dataset(options.dataset)
    pool = slices.between(counts := survey(dataset, [options.column]).counts, 0, sum(counts))
    source = Source(options.dataset, (options.column,))

    def epochs():
        epoch = 0
        while True:
            layout = slices.EpochLayout(1, options.workers, shuffle=1000)
            order = slices.training(pool, seed=0, epoch=epoch, batch=options.batch, layout=layout)
            with batches(Stream(source, list(order)), options.workers, pin=cuda) as feed:
                yield from feed
            epoch += 1

    feed = epochs()

    def from_shards():
        for _ in range(options.steps):
            one.step(feed)

    for run in (from_memory, from_shards):
        run()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    times = [(seconds(from_memory), seconds(from_shards)) for _ in range(3)]
    memory, shards = (options.steps * options.batch / statistics.median(pair[i] for pair in times) for i in (0, 1))
    ratios = [a / b for a, b in times]
    peak = f", peak {torch.cuda.max_memory_allocated() / 1e9:.1f} GB" if cuda else ""
    said = "compiled" if compile else "not compiled"
    fed = f"shards {shards:.0f} images/s, synthetic {memory:.0f}; shards are {statistics.median(ratios):.3f} of it"
    print(f"  {said}: {fed}{peak}")
    record(f"step, {setting}, {said}: from shards / from one synthetic batch", ratios, 0.97)


if __name__ == "__main__":
    name = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads"
    print(f"{machine()}; torch {torch.__version__}; {name}; {options.arch}, --amp {options.amp}")
    compare_steps()
    if options.dataset:
        print(
            f"training on {options.column} from shards, {options.workers} workers, {options.steps} steps, 3 rounds"
        )
        for compiled in (False, True) if cuda else (False,):
            compare_feeding(compiled)
