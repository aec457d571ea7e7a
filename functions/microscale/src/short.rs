//! Why a task fits nowhere, in words: what hosts have left after this turn's grants, and of what they have too little.

use std::collections::BTreeMap;

use evenkeel_model::Resources;

use crate::books::{Books, Cleared};
use crate::grant::Grants;

/// What is left on each host that takes tasks, by its index, when the tasks that were granted are there, spread over the
/// hosts. ECS may place them otherwise; what is left in all is the same.
fn left(books: &Books<'_>, grants: &Grants<'_, '_>) -> BTreeMap<usize, Resources> {
    let open = books.hosts.iter().enumerate().filter(|(_, book)| book.host.takes_tasks());
    let mut left: BTreeMap<usize, Resources> = open.map(|(host, book)| (host, book.placeable)).collect();
    for (rank, book) in books.services.iter().enumerate() {
        let Some(need) = book.need() else { continue };
        let mut tasks = grants.granted(rank);
        // An even share for each, and then what is left wherever it fits.
        let share = tasks.div_ceil(u32::try_from(left.len().max(1)).unwrap_or(u32::MAX));
        for most in [share, u32::MAX] {
            for (&host, room) in &mut left {
                let placed = books.slots_with(rank, host, *room, Cleared::NONE).min(most).min(tasks);
                for _ in 0..placed {
                    *room = room.minus(need.resources);
                }
                tasks -= placed;
            }
        }
    }
    left
}

/// What one task of a service needs, of what how many hosts have too little, and what the roomiest one has.
pub(crate) fn says(books: &Books<'_>, grants: &Grants<'_, '_>, rank: usize) -> String {
    let book = &books.services[rank];
    let Some(need) = book.need() else { return String::new() };
    let Resources { cpu, memory, gpu, interfaces } = need.resources;
    let mut text = format!("{} needs {memory} MiB and {cpu} CPU units", book.name());
    if gpu > 0 {
        text.push_str(&format!(" and {gpu} GPUs"));
    }
    if interfaces > 0 {
        text.push_str(" and a network interface");
    }
    for port in &need.ports {
        text.push_str(&format!(" and port {port}"));
    }
    text.push_str(" on one host");
    let left = left(books, grants);
    if left.is_empty() {
        text.push_str("; no host takes tasks");
        return text;
    }
    let mut short: BTreeMap<String, usize> = BTreeMap::new();
    for (host, room) in &left {
        let kinds = [
            ("memory", room.memory < memory),
            ("CPU", room.cpu < cpu),
            ("GPUs", room.gpu < gpu),
            ("network interfaces", room.interfaces < interfaces),
        ];
        let of: Vec<&str> = kinds.into_iter().filter(|(_, short)| *short).map(|(kind, _)| kind).collect();
        let taken = need.ports.iter().find(|port| books.hosts[*host].ports.contains(port));
        let lacks = match (of.is_empty(), taken) {
            (false, _) => format!("short of {}", of.join(" and ")),
            (true, Some(port)) => format!("in use on port {port}"),
            (true, None) if books.slots_on(rank, *host) == 0 => "not for it".to_owned(),
            (true, None) => "taken by what may come before it".to_owned(),
        };
        *short.entry(lacks).or_default() += 1;
    }
    let hosts = left.len();
    let each = short.iter().map(|(lacks, count)| format!("{count} {lacks}")).collect::<Vec<_>>().join(", ");
    text.push_str(&format!("; of {hosts} hosts {each}"));
    // The one that is nearest to having room, by the kind that it has least of.
    let part = |has: u32, needs: u32| u64::from(has) * 1_000_000 / u64::from(needs.max(1));
    let nearest = left.iter().max_by_key(|(_, room)| part(room.cpu, cpu).min(part(room.memory, memory)));
    if let Some((host, room)) = nearest {
        let id = &books.hosts[*host].host.id;
        text.push_str(&format!("; {id} would have {} MiB and {} CPU units left", room.memory, room.cpu));
    }
    text
}
