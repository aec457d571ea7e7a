// Shows the ledger's view of a fleet, once a second. Every name is written as text, never as markup.

import { Chart, clock } from "./chart.js";

const $ = (id) => document.getElementById(id);
const POLL = 1000, MANY = 12;
// With more tasks on a host than this, or more hosts than that, equal tasks of a service are one box with their number.
const MOST_BOXES = 12, FEW_HOSTS = 200;
const charts = new Map(), boxes = new Map(), colours = new Map();
let tag, world, seen, last, failures = 0, filled = false, pace;
// What backfill and patchroll show: why each host is there, and whether it is outdated. A fleet without them has none.
const parts = { backfill: {}, patch: {} };

function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

const colour = (service) => service === null ? 4 : colours.get(service) ?? 4;
const replace = (parent, nodes, empty) => parent.replaceChildren(...(nodes.length ? nodes : [element("li", "empty", empty)]));

async function poll() {
  try {
    const answer = await fetch("api/view", { headers: tag ? { "If-None-Match": tag } : {} });
    if (answer.status === 200) {
      tag = answer.headers.get("ETag");
      last = await answer.json();
    } else if (answer.status !== 304) {
      throw new Error((await answer.json()).error);
    }
    if (world) world = await fetch("api/world").then((answer) => answer.ok ? answer.json() : world).catch(() => world);
    // Where a simulated world is late, it goes on faster than views are asked for.
    if (!filled || showPace()) await addHistory(last);
    const news = (await Promise.all(Object.keys(parts).map(pollPart))).some(Boolean);
    if (answer.status === 200 || news) show(last);
    failures = 0;
    $("notice").hidden = true;
  } catch (error) {
    failures += 1;
    $("notice").textContent = `No data: ${error.message}`;
    $("notice").hidden = false;
  }
  showAge();
  setTimeout(poll, document.hidden ? 5 * POLL : Math.min(POLL * 2 ** Math.min(failures, 4), 15000));
}

// Gives whether there is something new. A part that is not there may come with the first turn of its function.
async function pollPart(name) {
  const part = parts[name];
  const answer = await fetch(`api/${name}`, { headers: part.tag ? { "If-None-Match": part.tag } : {} });
  if (answer.status !== 200) return false;
  part.tag = answer.headers.get("ETag");
  part.view = await answer.json();
  return true;
}

function show(view) {
  seen = { at: Date.parse(view.at), arrived: performance.now(), beat: view.beat_seconds };
  $("fleet").textContent = view.fleet;
  document.title = `Even Keel: ${view.fleet}`;
  document.body.classList.toggle("no-services", view.services.length === 0);
  view.services.forEach((service, i) => colours.set(service.name, Math.min(i, 3)));
  showHosts(withPatch(withBackfill(view.hosts)));
  showFleet();
  showObserving(view);
  showRoll();
  showServices(view.services, view.report.shortfall);
  const waits = [...view.waits, ...(parts.backfill.view?.waits ?? []), ...(parts.patch.view?.waits ?? [])];
  replace($("waits"), waits.map((wait) => element("li", "", wait)), "nothing");
  replace($("feed"), view.decisions.map(decision), "nothing was decided yet");
  for (const service of view.services) {
    const chart = chartOf(service);
    chart.add(seen.at, service.fill ? service.feasible : service.want, service.running);
    chart.draw();
  }
}

function chartOf(service) {
  if (!charts.has(service.name)) charts.set(service.name, new Chart($("charts"), service.name, service.fill, colour(service.name)));
  return charts.get(service.name);
}

function decision(entry) {
  const line = element("li");
  const failed = typeof entry.outcome === "object";
  const time = element("time", "", clock(Date.parse(entry.at)));
  time.dateTime = entry.at;
  line.append(time, element("span", failed ? "failed" : entry.outcome === "would" ? "would" : "", entry.text));
  return line;
}

// The hosts in backfill's order with its reasons; those that are not in the cluster are empty.
function withBackfill(hosts) {
  const backfill = parts.backfill.view;
  if (!backfill) return hosts;
  const known = new Map(hosts.map((host) => [host.id, host]));
  const lines = backfill.hosts.map((line) => {
    const host = known.get(line.id) ?? { ...empty(line.id), zone: line.zone };
    known.delete(line.id);
    // In a mixed pool only backfill knows which hosts are spot.
    return { ...host, purchase: line.purchase, says: line.says, coming: line.coming, going: line.going };
  });
  return [...lines, ...known.values()];
}

// The same hosts with what a roll does about them, and those that only patchroll knows.
function withPatch(hosts) {
  const patch = parts.patch.view;
  if (!patch) return hosts;
  const words = { outdated: "outdated", leaving: "is replaced", new: "new", abandoned: "could not be replaced" };
  const known = new Set(hosts.map((host) => host.id));
  const more = Object.keys(patch.hosts).filter((id) => !known.has(id)).map(empty);
  return [...hosts, ...more].map((host) => {
    const own = patch.hosts[host.id];
    if (!own) return host;
    const says = [host.says, words[own.state], own.runs].filter(Boolean).join(", ");
    return { ...host, says, patch: own.state, going: host.going || own.state === "leaving" };
  });
}

function empty(id) {
  const nothing = { cpu: 0, memory: 0, gpu: 0 };
  return { id, status: "ACTIVE", connected: true, registered: nothing, tasks: [] };
}

function showRoll() {
  const patch = parts.patch.view, roll = patch?.roll;
  const last = patch?.ended[0];
  $("roll").hidden = !roll && !last;
  $("roll-done").hidden = !roll;
  if (roll) {
    $("roll-done").max = Math.max(1, roll.hosts);
    $("roll-done").value = roll.done;
    const end = roll.expected_end ? `, should end at ${clock(Date.parse(roll.expected_end))}` : "";
    $("roll-says").textContent = `Roll ${roll.id} (${roll.because}): ${roll.says}; wave ${roll.wave} of about ${roll.waves}, ${roll.done} of ${roll.hosts} hosts${end}`;
  } else if (last) {
    const ending = typeof last.ending === "string" ? last.ending : Object.keys(last.ending)[0];
    $("roll-says").textContent = `Last roll ${last.id}: ${ending}, ${last.replaced + last.went} hosts, at ${clock(Date.parse(last.at))}`;
  }
}

// Nobody is to take what would be done for what was done.
function showObserving(view) {
  // A fleet without tasks has no microscale, and its view is made of what the others show.
  const functions = { microscale: view.services.length ? view : undefined, backfill: parts.backfill.view, patchroll: parts.patch.view };
  const there = Object.keys(functions).filter((name) => functions[name]);
  const observing = there.filter((name) => functions[name].mode === "observe");
  $("observing").hidden = observing.length === 0;
  const who = observing.length === there.length ? "no step is taken" : `${observing.join(" and ")} take${observing.length > 1 ? "" : "s"} no step`;
  $("observing").textContent = `OBSERVING: ${who}; what would be done is below`;
}

function showFleet() {
  if (!parts.backfill.view) return;
  const { hosts, out, max_out, on_hold } = parts.backfill.view;
  const count = (pick) => hosts.filter(pick).length;
  const words = [`${count((host) => !host.coming && !host.going)} hosts in service`];
  const coming = count((host) => host.coming), going = count((host) => host.going);
  if (coming) words.push(`${coming} on their way`);
  if (going) words.push(`${going} leaving`);
  words.push(`${out} of ${max_out} out in the disruption budget`);
  if (on_hold) words.push("nothing is given back, by request");
  if (world) words.push(`${world.usd_an_hour.toFixed(2)} USD an hour, ${world.usd_an_hour_all_on_demand.toFixed(2)} if all were on-demand`);
  $("fleet-hosts").textContent = words.join(", ");
}

function showHosts(hosts) {
  document.body.classList.toggle("many", hosts.length > MANY);
  const gone = new Set(boxes.keys());
  for (const host of hosts) {
    gone.delete(host.id);
    if (!boxes.has(host.id)) boxes.set(host.id, newBox(host));
    fill(boxes.get(host.id), host, hosts.length > FEW_HOSTS);
  }
  for (const id of gone) { boxes.get(id).node.remove(); boxes.delete(id); }
  hosts.forEach((host, i) => { const { node } = boxes.get(host.id); if ($("hosts").children[i] !== node) $("hosts").insertBefore(node, $("hosts").children[i] ?? null); });
}

function newBox(host) {
  const node = element("article", "host"), room = element("div", "room"), about = element("div", "about");
  node.append(element("div", "name", host.id), about, room);
  return { node, room, about, tasks: new Map() };
}

// A line of a view is the tasks of one service that are equally far; in that of an earlier version it is one task.
function boxesOf(host, summed) {
  const order = ["RUNNING", "PENDING", "STOPPING"], numbers = new Map();
  const lines = host.tasks.map((line) => ({ ...line, count: line.count ?? 1 }));
  lines.sort((a, b) => order.indexOf(a.phase) - order.indexOf(b.phase));
  const tasks = lines.reduce((sum, line) => sum + line.count, 0);
  if (summed || tasks > MOST_BOXES) return lines.map((line) => ({ key: line.id, line, count: line.count }));
  // A box stays the same one when its task goes on to run, or to stop.
  const next = (service) => { const number = (numbers.get(service) ?? 0) + 1; numbers.set(service, number); return number; };
  return lines.flatMap((line) => Array.from({ length: line.count }, () => ({ key: `${line.service ?? ""}#${next(line.service)}`, line, count: 1 })));
}

function fill(box, host, summed) {
  const away = host.status !== "ACTIVE" ? host.status.toLowerCase() : host.connected ? "" : "agent not connected";
  box.node.classList.toggle("away", away !== "" || Boolean(host.going));
  box.node.classList.toggle("coming", Boolean(host.coming));
  for (const state of ["outdated", "new", "abandoned"]) box.node.classList.toggle(state, host.patch === state);
  box.about.textContent = [host.purchase, host.zone, away, host.says].filter(Boolean).join(", ");
  const share = (takes) => Math.max(takes.cpu / Math.max(1, host.registered.cpu), takes.memory / Math.max(1, host.registered.memory));
  // A newcomer that waits for a stopping task shares its room: the box is full, not overfull.
  const all = host.tasks.reduce((sum, task) => sum + share(task.takes), 0);
  const scale = 100 / Math.max(1, all);
  const gone = new Set(box.tasks.keys());
  for (const { key, line, count } of boxesOf(host, summed)) {
    gone.delete(key);
    const known = box.tasks.get(key);
    const node = known ?? element("div", "task enter");
    node.className = `task s${colour(line.service ?? null)} ${line.phase}${known ? "" : " enter"}`;
    node.style.height = `${share(line.takes) * scale * count / line.count}%`;
    const service = line.service ?? "standalone";
    node.textContent = count > 1 ? `${count} × ${service}` : service;
    const [cpu, memory] = [line.takes.cpu, line.takes.memory].map((all) => Math.round(all * count / line.count));
    const expected = line.expected_start ? `, ${line.count > 1 ? "the first runs" : "runs"} by ${clock(Date.parse(line.expected_start))}` : "";
    const waits = line.waits_for_room ? ", waits for a stopping task" : "";
    node.title = `${count > 1 ? `${count} of ` : ""}${service}: ${line.phase.toLowerCase()}, ${cpu} CPU units, ${memory} MiB${waits}${expected}`;
    if (!known) { box.tasks.set(key, node); box.room.append(node); requestAnimationFrame(() => node.classList.remove("enter")); }
  }
  for (const id of gone) { box.tasks.get(id).remove(); box.tasks.delete(id); }
}

function showServices(services, shortfall) {
  const short = new Set(shortfall.map((entry) => entry.service));
  const rows = services.map((service) => {
    const row = element("tr", short.has(service.name) ? "short" : ""), name = element("td");
    name.append(element("span", `key s${colour(service.name)}`), service.name);
    const numbers = [service.fill ? `${service.priority}, fills` : service.priority, service.demand === null ? "–" : Math.round(service.demand * 10) / 10,
      service.fill ? "–" : service.want, service.desired, service.running, service.pending, service.stopping, service.feasible, service.headroom];
    row.append(name, ...numbers.map((number) => element("td", "", number)));
    return row;
  });
  $("services").tBodies[0].replaceChildren(...rows);
}

function showAge() {
  if (!seen) return;
  const speed = world?.speed ?? 1;
  const age = world ? (performance.now() - seen.arrived) / 1000 * speed : (Date.now() - seen.at) / 1000;
  const beats = age / seen.beat;
  $("age").className = failures > 2 || beats > 5 * Math.max(1, speed / 10) ? "lost" : beats > 2 * Math.max(1, speed / 10) ? "late" : "";
  $("age").textContent = `${clock(seen.at)} UTC, ${Math.max(0, Math.round(age))} s old`;
}

async function begin() {
  const answer = await fetch("api/world").catch(() => undefined);
  if (answer?.ok) {
    world = await answer.json();
    for (const control of world.controls) {
      const button = element("button", "", control.label);
      button.title = control.title;
      button.addEventListener("click", () => fetch(`api/world/${control.id}`, { method: "POST" }));
      $("controls").append(button);
    }
    pace = $("controls").appendChild(element("span"));
    showPace();
    $("controls").hidden = false;
  }
  const view = await fetch("api/view").then((answer) => answer.ok ? answer.json() : undefined).catch(() => undefined);
  if (view) await addHistory(view);
  poll();
}

// What was wanted and what ran, as far as the charts do not have it.
async function addHistory(view) {
  const history = await fetch("api/history").then((answer) => answer.ok ? answer.json() : []).catch(() => []);
  filled = true;
  view.services.forEach((service, i) => {
    colours.set(service.name, Math.min(i, 3));
    const chart = chartOf(service);
    for (const moment of history) {
      const numbers = moment.services[service.name];
      if (numbers) chart.add(Date.parse(moment.at), numbers.wanted, numbers.running);
    }
  });
}

// Says how fast a simulated world goes, and where it is behind its clock, how far. Gives whether it is.
function showPace() {
  if (!pace) return false;
  const late = world.behind_seconds > 3 * world.speed;
  const behind = late ? `, catching up: ${Math.ceil(world.behind_seconds / 60)} min behind` : "";
  pace.textContent = `simulated, ${world.speed} times real time${behind}`;
  return late;
}

begin();
