//! How long one event takes to read: a busy fleet sends thousands, and the simulated cloud sends them all through here.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use evenkeel_intake::read;

fn events(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    for (name, payload) in [
        ("spot interruption", &include_bytes!("../../../events/ec2-spot-interruption-warning.json")[..]),
        ("task state", &include_bytes!("../../../events/ecs-task-state-change.json")[..]),
        ("alarm in SNS in SQS", &include_bytes!("../../../events/sns-in-sqs.json")[..]),
    ] {
        group.throughput(Throughput::Bytes(payload.len() as u64));
        group.bench_function(name, |b| b.iter(|| read(black_box(payload))));
    }
    group.finish();
}

criterion_group!(benches, events);
criterion_main!(benches);
